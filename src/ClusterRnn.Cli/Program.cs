// The program `clusterrnn`.
using ClusterRnn.Training.Configuration;

if (args is ["schema"])
{
    Console.Write(ConfigSchema.Generate<JobConfig>("ClusterRnn job"));
    return 0;
}

return 2;
