using ClusterRnn.Engines.Tcp.Hosting;

namespace ClusterRnn.Tests.EnginesTcp;

public sealed unsafe class ParameterStoreTests
{
    [Fact]
    public void After_a_new_epoch_a_version_is_read_anew_even_while_the_old_one_is_held()
    {
        using var store = new ParameterStore(2);
        Add(store, 4, 1, 2);
        float* held = store.Hold(4);
        store.Forget();
        Assert.True(store.Hold(4) is null); // nobody begins with what is forgotten
        Add(store, 4, 10, 20);
        Assert.Equal((1f, 2f), (held[0], held[1])); // whoever reads it goes on
        store.Release(4);
        float* fresh = store.Hold(4);
        Assert.Equal((10f, 20f), (fresh[0], fresh[1]));
        Add(store, 4, 7, 7); // a second answer
        Assert.Equal((10f, 20f), (fresh[0], fresh[1]));
        store.Release(4);
    }

    private static void Add(ParameterStore store, long version, params float[] values)
    {
        fixed (float* pointer = values)
        {
            store.Add(version, 0, 0, pointer, values.Length);
        }
    }
}
