// Questions about a town with their answers. A question and its answer have few words in common: what is asked for (a time, a price,
// a way, a person) and what it is about (to swim, to read) show in other words on either side, which have to be learned.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated questions and answers.</summary>
internal static class TownAnswers
{
    // What somebody wants, and words of answers about it.
    private static readonly (string[] Wishes, string[] Places)[] Topics =
    [
        (["go swimming", "swim", "take a bath"], ["the pool", "the indoor pool"]),
        (["borrow a book", "read the newspaper"], ["the library", "our reading room"]),
        (["buy bread", "get a cake", "eat fresh rolls"], ["the bakery", "Miller's bakery"]),
        (["see old paintings", "look at art"], ["the gallery", "the museum of art"]),
        (["watch a film", "go to the movies"], ["the cinema", "the old cinema"]),
        (["post a letter", "send a parcel"], ["the post office", "the counter for parcels"]),
        (["catch a train", "travel to Chester"], ["platform two", "the station"]),
        (["ride a horse", "learn riding"], ["the stables", "the riding school"]),
        (["have my hair cut", "get a shave"], ["the barber", "the hairdresser"]),
        (["see a doctor", "get a vaccination"], ["the surgery", "the clinic"]),
        (["rent a boat", "go rowing"], ["the boathouse", "the pier"]),
        (["hear a concert", "listen to an orchestra"], ["the music hall", "the concert hall"]),
        (["climb", "go bouldering"], ["the climbing wall", "the hall with the wall"]),
        (["fix my bicycle", "pump up my tyres"], ["the repair shop", "the workshop"]),
        (["get a passport", "register my car"], ["the town hall", "the citizens' office"]),
        (["dance", "learn the tango"], ["the ballroom", "the dancing school"]),
    ];

    // How it is asked, and how it is answered. W: the wish, P: the place, H: an hour, S: a sum, N: a name, D: a way.
    private static readonly (string[] Questions, string[] Answers)[] Kinds =
    [
        (["when can i W ?", "from what time on can we W ?"], ["P opens at H .", "at H , when P opens ."]),
        (["until when can i W ?", "is it too late to W ?"], ["P closes at H .", "no later than H , P is shut then ."]),
        (["how much is it to W ?", "what does it cost to W ?"], ["P takes S euros .", "that is S euros at P ."]),
        (["where can one W here ?", "i want to W , which way is that ?"], ["P is D .", "go to P , D ."]),
        (["whom do i ask if i want to W ?", "who helps me to W ?"], ["N at P knows .", "talk to N , P has nobody better ."]),
        (["do i have to book to W ?", "can i just come and W ?"], ["P wants to be called the day before .", "no need , P has room for all ."]),
    ];

    private static readonly string[] Hours = ["six", "seven", "eight", "nine", "ten", "noon"];
    private static readonly string[] Sums = ["two", "three", "five", "twelve", "twenty"];
    private static readonly string[] People = ["Mrs Ames", "Mr Brook", "Anna", "Boris", "old Hugo"];
    private static readonly string[] Ways = ["behind the church", "next to the bridge", "on the main square", "at the end of the road"];

    /// <summary>A question and its answer.</summary>
    public static (string Question, string Answer) Make(RandomKey key, int number)
    {
        (string[] wishes, string[] places) = Topics[Below(0, Topics.Length)];
        (string[] questions, string[] answers) = Kinds[Below(1, Kinds.Length)];
        return (Filled(questions[Below(2, questions.Length)]), Filled(answers[Below(3, answers.Length)]));

        string Filled(string form) => string.Join(' ', form.Split(' ').Select(word => word switch
        {
            "W" => wishes[Below(4, wishes.Length)],
            "P" => places[Below(5, places.Length)],
            "H" => Hours[Below(6, Hours.Length)],
            "S" => Sums[Below(7, Sums.Length)],
            "N" => People[Below(8, People.Length)],
            "D" => Ways[Below(9, Ways.Length)],
            _ => word,
        }));

        int Below(int element, int bound) => (int)key.Below(number, 0, element, bound);
    }
}
