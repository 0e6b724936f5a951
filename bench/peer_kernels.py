#!/usr/bin/env python3
"""Times the kernels of a peer on the shapes of the kernel benchmark and prints one JSON line per shape.

    bench/peer_kernels.py flash-kmeans|FlashLib [--dtype float16] [--shapes "N,K,D[;...]"] [--cool SECONDS]

flash-kmeans (Triton): its folder must be on PYTHONPATH. FlashLib: its CuTe DSL kernel after autotuning, for GPUs of compute capability
9.0, float16, and columns a multiple of 16 up to 512; its Triton kernels are those of flash-kmeans. bench/support.py says where both
come from. Needs a GPU and torch. bench/kernels.py runs this and bench_kernels, which measures the same things of lloyd.

assign = nearest centroid; update = sums and means; iter = a ten-iteration run / 10; gemm = cuBLAS at the same shape with the N x K
result written; fp64 = share of 4096 sampled labels equal to the double-precision ones. Times are medians of CUDA-event timings after
warm-up, in milliseconds. A peer that is not installed is one line {"missing": reason}.
"""
import argparse
import json
import time

Mi = 1 << 20
SHAPES = [(Mi, 1024, 128), (8 * Mi, 1024, 128), (Mi, 8192, 128), (Mi, 65536, 128), (4 * Mi, 4096, 128),
          (Mi, 4096, 64), (Mi, 4096, 96), (Mi, 4096, 256), (Mi, 4096, 384), (Mi, 4096, 768),
          (Mi // 4, 4096, 1536), (16 * Mi, 256, 32)]


class FlashKMeans:
    TYPES = ("float16", "float32")

    def __init__(self):
        from flash_kmeans.assign_euclid_triton import euclid_assign_triton
        from flash_kmeans.centroid_update_triton import triton_centroid_update_sorted_euclid
        from flash_kmeans.kmeans_triton_impl import batch_kmeans_Euclid

        self.nearest, self.update, self.fit = euclid_assign_triton, triton_centroid_update_sorted_euclid, batch_kmeans_Euclid

    def assignment(self, x, c):
        """A function of nothing that returns the labels."""
        x_sq, c_sq = (x.float() ** 2).sum(-1).to(x.dtype), (c.float() ** 2).sum(-1)
        return lambda: self.nearest(x, c, x_sq, c_sq=c_sq)

    def run(self, x, c, iterations):
        self.fit(x, c.shape[1], max_iters=iterations, tol=-1.0, init_centroids=c)

    def about(self, x, c):
        return {}


class FlashLib:
    TYPES = ("float16",)

    def __init__(self):
        from flashlib.primitives.kmeans import triton_lloyd_centroid_step_euclid
        from flashlib.primitives.kmeans.cutedsl import assign, cutedsl_assign_euclid, cutedsl_info, cutedsl_kmeans_Euclid

        if not assign._try_init_cutedsl():
            raise ImportError(cutedsl_info())
        self.nearest, self.update, self.fit = cutedsl_assign_euclid, triton_lloyd_centroid_step_euclid, cutedsl_kmeans_Euclid
        self.tuned = assign._autotune_cache

    def assignment(self, x, c):
        """The first call tunes the kernel to the shape."""
        c_sq = (c.float() ** 2).sum(-1)
        return lambda: self.nearest(x, c, c_sq=c_sq)

    def run(self, x, c, iterations):
        self.fit(x, c.shape[1], max_iters=iterations, tol=-1.0, init_centroids=c.clone())  # it writes to its first centroids

    def about(self, x, c):
        """The tile that was chosen. Without one it has called a Triton kernel."""
        tile = self.tuned.get((x.shape[1], x.shape[2], c.shape[1], x.dtype, c.dtype))
        if tile is None:
            raise ValueError("the CuTe DSL kernel does not take this shape")
        return {"tile": list(tile)}


TOOLS = {"flash-kmeans": FlashKMeans, "FlashLib": FlashLib}


def median_ms(run, repeats=7, warmup=2):
    import torch

    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def measure(tool, dtype, N, K, D, cool):
    import torch

    x = torch.randn(1, N, D, device="cuda", dtype=dtype)
    c = x[:, torch.randperm(N, device="cuda")[:K]].clone()
    assign = tool.assignment(x, c)
    labels = assign()
    about = tool.about(x, c)
    rows = min(N, max(1, (4 << 30) // (K * x.element_size())))
    out = torch.empty(rows, K, device="cuda", dtype=dtype)
    sample = torch.randperm(N, device="cuda")[:4096]
    exact = torch.cdist(x[0, sample].double(), c[0].double()).argmin(-1)
    torch.cuda.synchronize()
    time.sleep(cool)
    t = median_ms(assign)
    return dict(dtype=str(dtype)[6:], N=N, K=K, D=D, assign_ms=t, assign_tflops=2e-9 * N * K * D / t,
                update_ms=median_ms(lambda: tool.update(x, labels, c)),
                sort_ms=median_ms(lambda: torch.sort(labels, dim=-1)),
                iter_ms=median_ms(lambda: tool.run(x, c, 10), 3, 1) / 10,
                gemm_ms=median_ms(lambda: torch.mm(x[0, :rows], c[0].t(), out=out)) * N / rows,
                fp64=(exact == labels[0, sample].long()).double().mean().item(), **about)


def parse_shapes(text):
    return [tuple(int(size) for size in shape.split(",")) for shape in text.split(";")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--dtype", choices=["float16", "float32"], action="append")
    parser.add_argument("--shapes", type=parse_shapes, default=SHAPES, help='"N,K,D[;...]"')
    parser.add_argument("--cool", type=float, default=0, help="seconds without work before each shape is measured")
    arguments = parser.parse_args()
    try:
        import torch

        tool = TOOLS[arguments.tool]()
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    torch.backends.cuda.matmul.allow_tf32 = True
    for name in arguments.dtype or tool.TYPES:
        for shape in arguments.shapes if name in tool.TYPES else ():
            try:
                found = measure(tool, getattr(torch, name), *shape, arguments.cool)
            except Exception as error:  # a peer runs out of shared memory for some D, or does not take it
                found = dict(dtype=name, shape=shape, error=repr(error)[:160])
            print(json.dumps(found), flush=True)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
