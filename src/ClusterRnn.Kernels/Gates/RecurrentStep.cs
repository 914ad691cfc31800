using ClusterRnn.Kernels.Dispatch;
using ClusterRnn.Kernels.Products;

namespace ClusterRnn.Kernels.Gates;

// The recurrent product and the gate kernel in one go.
internal static unsafe class RecurrentStep
{
    // Each tile's gates are worked on as soon as their product is complete, while they are in the nearest cache.
    // recurrent: null where the gates hold the recurrent part already.
    // freshGroup: the group whose chains start from the packed matrix's bias instead of from the gates (GRU's candidate), or -1.
    public static void Forward(Kernel<GateArguments> kernel, in GateArguments tile, float* left, nint ldLeft, PackedMatrix? recurrent, int freshGroup, Workspace workspace)
    {
        if (recurrent is null)
        {
            kernel.Run(tile);
            return;
        }

        ProductArguments arguments = Product.Arguments(tile.Rows, left, ldLeft, recurrent, tile.Gates, tile.GateStride, workspace);
        arguments.Start = ProductStart.Accumulate;
        arguments.FreshGroup = freshGroup;
        arguments.Gate = kernel.Variant(recurrent.Set);
        arguments.GateTile = tile;
        Product.Kernel.Run(recurrent.Set, arguments);
    }

    public static void Backward(Kernel<GateArguments> kernel, in GateArguments tile, PackedMatrix? recurrent, Workspace workspace)
    {
        if (recurrent is null)
        {
            kernel.Run(tile);
            return;
        }

        kernel.Run(recurrent.Set, tile);
        Product.Multiply(tile.Rows, tile.Gates, tile.GateStride, recurrent, tile.HiddenGradient, tile.Stride, ProductStart.Accumulate, workspace);
    }
}
