// Micro-benchmarks of the kernels and of whole training steps:
//     dotnet run -c Release --project tests/ClusterRnn.Benchmarks -- --filter '*'
using BenchmarkDotNet.Running;

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
