// Requests to an assistant, each with what it is for. The same words stand in several intents (an alarm is set, moved, asked for or
// cancelled), of two requests the one after "no ," counts, and some words were not heard.
using ClusterRnn.Kernels.Random;

namespace ClusterRnn.Data;

/// <summary>Generated utterances.</summary>
internal static class Utterances
{
    private static readonly string[] Starts = ["", "", "", "please ", "could you ", "hey , ", "i would like you to ", "can you "];
    private static readonly string[] Ends = ["", "", "", " please", " , thanks", " now"];
    private static readonly string[] Times = ["six", "seven", "half past seven", "eight", "noon", "ten tonight", "five tomorrow"];
    private static readonly string[] Places = ["Preston", "Chester", "Milton", "the city", "the mountains", "Kalomi"];
    private static readonly string[] Artists = ["Clara", "the Harbours", "some jazz", "the radio", "that song", "my favourites"];
    private static readonly string[] Rooms = ["kitchen", "bedroom", "garage", "hall"];
    private static readonly string[] Names = ["Anna", "Boris", "my sister", "the office", "Farid"];
    private static readonly string[] Amounts = ["ten", "fifty", "two hundred"];

    // T: a time, P: a place, A: an artist, R: a room, N: a name, M: an amount.
    private static readonly (string Intent, string[] Forms)[] Intents =
    [
        ("alarm_set", ["wake me at T", "set an alarm for T", "make sure i am up at T", "an alarm at T"]),
        ("alarm_cancel", ["cancel the alarm at T", "do not wake me at T", "turn off my alarm for T", "i need no alarm at T"]),
        ("alarm_ask", ["tell me when my alarm is", "when will you wake me", "is there an alarm at T"]),
        ("music_play", ["play A", "put on A", "i want to hear A", "start A in the R"]),
        ("music_stop", ["stop A", "turn off A in the R", "do not play A any more", "i do not want to hear A"]),
        ("light_on", ["turn on the light in the R", "it is too dark in the R", "light up the R", "make the R brighter"]),
        ("light_off", ["turn off the light in the R", "make the R dark", "no light in the R", "it is too bright in the R"]),
        ("weather", ["will it rain in P", "tell me the weather in P", "how warm is it in P at T", "do i need a coat in P"]),
        ("route", ["how do i get to P", "take me to P", "the way to P", "how long is the drive to P"]),
        ("call", ["call N", "ring N at T", "get N on the phone", "i want to talk to N"]),
        ("message", ["tell N that i am late", "write to N that i am in P", "send N a message", "let N know i will come at T"]),
        ("transfer", ["send M euros to N", "pay N M euros", "give N M from my account", "transfer M to N"]),
    ];

    /// <summary>An utterance and its intent.</summary>
    public static (string Text, string Label) Make(RandomKey key, int number)
    {
        (string intent, string request) = Request(1);
        if (Below(0, 0, 6) == 0)
        {
            (_, string other) = Request(2);
            request = $"{other} , no , {request}";
        }

        return ($"{Starts[Below(0, 1, Starts.Length)]}{request}{Ends[Below(0, 2, Ends.Length)]}", intent);

        (string Intent, string Text) Request(int time)
        {
            (string name, string[] forms) = Intents[Below(time, 0, Intents.Length)];
            string[] words = forms[Below(time, 1, forms.Length)].Split(' ');
            for (int i = 0; i < words.Length; i++)
            {
                string[]? fillers = words[i] switch { "T" => Times, "P" => Places, "A" => Artists, "R" => Rooms, "N" => Names, "M" => Amounts, _ => null };
                words[i] = fillers is null ? words[i] : fillers[Below(time, 2 + i, fillers.Length)];
            }

            return (name, string.Join(' ', words.Where((_, i) => Below(time, 20 + i, 12) > 0)));
        }

        int Below(int time, int element, int bound) => (int)key.Below(number, time, element, bound);
    }
}
