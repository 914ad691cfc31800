using System.Text.Json.Nodes;
using ClusterRnn.Training.Configuration;

namespace ClusterRnn.Tests.Configuration;

public class JobConfigTests
{
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
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>("batch:\n  span: 8\n  lookBack: 4\n", "a.yaml"));
        Assert.StartsWith("a.yaml:3:3: 'batch.lookBack' (k2) expects at least 'batch.span' (k1), which is 8; found 4", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Shards_below_one_are_refused_at_their_line()
    {
        ConfigException error = Assert.Throws<ConfigException>(() => ConfigLoader.Parse<JobConfig>("batch:\n  shards: 0\n", "a.yaml"));
        Assert.StartsWith("a.yaml:2:11: 'batch.shards' expects a whole number, at least 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_resolved_config_names_what_was_left_out()
    {
        JobConfig job = Load("batch: { size: 12, span: 5 }");
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

    [Fact]
    public void The_committed_schema_is_the_records()
    {
        string committed = File.ReadAllText(Path.Combine(Repository.Root, "configs", "schema.json"));
        Assert.True(
            committed.ReplaceLineEndings("\n") == ConfigSchema.Generate<JobConfig>("ClusterRnn job"),
            "configs/schema.json is not what the records say; renew it with: ./clusterrnn schema > configs/schema.json");
        Assert.Equal("https://json-schema.org/draft/2020-12/schema", JsonNode.Parse(committed)!["$schema"]!.GetValue<string>());
    }
}
