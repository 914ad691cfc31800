using System.Text.Json.Nodes;
using ClusterRnn.Training.Configuration;
using ClusterRnn.Training.Optimizers;

namespace ClusterRnn.Tests.Configuration;

public class JobConfigTests
{
    // Two lines of what every job needs.
    private const string Rest = "data: sums\nmodel: { layers: [embedding, lstm, dense] }\n";

    private static JobConfig Load(string yaml) => ConfigLoader.Parse<JobConfig>(yaml, "a.yaml").Value.Resolve();

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(6, 2)]
    [InlineData(12, 4)]
    [InlineData(32, 8)]
    [InlineData(33, 1)]
    [InlineData(64, 8)]
    public void Shards_depend_on_the_batch_alone(int size, int shards) => Assert.Equal(shards, BatchConfig.DefaultShards(size));

    [Fact]
    public void Look_back_below_span_is_refused_at_its_line()
    {
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>(Rest + "batch:\n  span: 8\n  lookBack: 4\n", "a.yaml"));
        Assert.StartsWith("a.yaml:5:3: 'batch.lookBack' (k2) expects at least 'batch.span' (k1), which is 8; found 4", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Shards_below_one_are_refused_at_their_line()
    {
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>(Rest + "batch:\n  shards: 0\n", "a.yaml"));
        Assert.StartsWith("a.yaml:4:11: 'batch.shards' expects a whole number, at least 1", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("name: adam, beta1: 1", "'optimizer.beta1' expects a number")]
    [InlineData("name: adamw, beta2: 0.99999999", "'optimizer.beta2' expects")]
    [InlineData("name: rmsprop, alpha: 1.0", "'optimizer.alpha' expects")]
    [InlineData("name: adam, epsilon: 0", "'optimizer.epsilon' expects")]
    [InlineData("name: lamb, epsilon: 1e-50", "'optimizer.epsilon' expects")]
    [InlineData("name: sgd, nesterov: true", "'nesterov' looks ahead along the momentum, but 'momentum' is 0")]
    public void Constants_that_divide_by_zero_or_do_nothing_are_refused_at_their_line(string optimizer, string message)
    {
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>(Rest + $"optimizer: {{ {optimizer} }}\n", "a.yaml"));
        Assert.StartsWith("a.yaml:3:", error.Message, StringComparison.Ordinal);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Equal(0.9, ((SgdConfig)ConfigLoader.Parse<JobConfig>(Rest + "optimizer: { name: sgd, nesterov: true, momentum: 0.9 }\n", "a.yaml").Value.Optimizer).Momentum);
    }

    [Fact]
    public void Missing_data_is_refused_at_its_line_or_option()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory().FullName, "job.yaml");
        File.WriteAllText(path, "data:\n  source: text\n  path: no-such.txt\n" + Rest[Rest.IndexOf('\n')..]);
        ConfigException error = Assert.Throws<ConfigException>(() => JobConfig.Load(path));
        Assert.StartsWith(path + ":3:3: 'data.path': no-such.txt: expected a file, a folder or a glob", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<ConfigException>(() => JobConfig.Load(path, [ConfigAssignment.Parse("data.path=other*.txt")]));
        Assert.StartsWith("--set data.path=other*.txt: 'data.path': other*.txt: expected at least one file", error.Message, StringComparison.Ordinal);
        File.WriteAllText(path, "data:\n  source: text\n  path: ''\n" + Rest[Rest.IndexOf('\n')..]);
        Assert.StartsWith(path + ":3:", Assert.Throws<ConfigException>(() => JobConfig.Load(path)).Message, StringComparison.Ordinal);
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
    }

    [Fact]
    public void The_resolved_config_names_what_was_left_out()
    {
        JobConfig job = Load(Rest + "batch: { size: 12, span: 5 }");
        Assert.Equal((5, 4), (job.Batch.LookBack, job.Batch.Shards));
    }

    [Fact]
    public void Every_key_has_a_description()
    {
        var bare = new List<string>();
        var seen = new HashSet<Type>();
        Visit(ConfigShape.Of(typeof(JobConfig)), "");
        Assert.Empty(bare);

        void Visit(ConfigShape shape, string path)
        {
            if (shape.Kind == ConfigKind.List)
            {
                Visit(shape.Element!, path + "[]");
            }
            else if (shape.Kind == ConfigKind.Variant)
            {
                foreach ((string name, ConfigShape variant) in shape.Variants)
                {
                    Visit(variant, $"{path}({name})");
                }
            }
            else if (shape.Kind == ConfigKind.Record && seen.Add(shape.Type))
            {
                foreach (ConfigKey key in shape.Keys)
                {
                    if (string.IsNullOrWhiteSpace(key.Description))
                    {
                        bare.Add($"{path}.{key.Name}");
                    }

                    Visit(key.Shape, $"{path}.{key.Name}");
                }
            }
        }
    }
}
