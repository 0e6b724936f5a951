#!/usr/bin/env python3
"""Times the kernels of a peer on the shapes of the kernel benchmark and prints one JSON line per shape.

    bench/peer_kernels.py flash-kmeans|FlashLib [--dtype float16] [--shapes "N,K,D[;...]"] [--cool SECONDS]
                          [--dump FOLDER --stored uint8] [--after 2]

flash-kmeans (Triton): its folder must be on PYTHONPATH. FlashLib: its CuTe DSL kernel after autotuning, for GPUs of compute capability
9.0, float16, and columns a multiple of 16 up to 512; for other shapes its Triton kernels, which "kernel" says. bench/support.py says
where both come from. Needs a GPU and torch. bench/kernels.py runs this and bench_kernels, which measures the same things of lloyd.

Rows are Gaussian, or those that bench_kernels has written to FOLDER (--dump), from elements of the type --stored; so are the first
centroids. Bytes are divided by 16, which float16 holds exactly: the squares of rows of bytes themselves do not fit in float16.

assign = nearest centroid; update = sums and means; iter = a ten-iteration run / 10; later = an iteration after --after others, (a run
of ten more - a run of these) / 10; gemm = cuBLAS at the same shape with the N x K result written; fp64 = share of 4096 sampled labels
whose centroid is a nearest one in double precision. Times are medians of CUDA-event timings after warm-up, in milliseconds. A peer
that is not installed is one line {"missing": reason}.
"""
import argparse
import json
import os
import time

Mi = 1 << 20
SHAPES = [(Mi, 1024, 128), (8 * Mi, 1024, 128), (Mi, 8192, 128), (Mi, 65536, 128), (4 * Mi, 4096, 128),
          (Mi, 4096, 64), (Mi, 4096, 96), (Mi, 4096, 256), (Mi, 4096, 384), (Mi, 4096, 768),
          (Mi // 4, 4096, 1536), (16 * Mi, 256, 32)]
ITERATIONS = 10  # of a run


class FlashKMeans:
    TYPES = ("float16", "float32")

    def __init__(self):
        import flash_kmeans
        from flash_kmeans.assign_euclid_triton import euclid_assign_triton
        from flash_kmeans.centroid_update_triton import triton_centroid_update_sorted_euclid
        from flash_kmeans.kmeans_triton_impl import batch_kmeans_Euclid

        self.version = getattr(flash_kmeans, "__version__", "unknown")
        self.nearest, self.update, self.fit = euclid_assign_triton, triton_centroid_update_sorted_euclid, batch_kmeans_Euclid

    def assignment(self, x, c):
        """A function of nothing that returns the labels."""
        x_sq, c_sq = (x.float() ** 2).sum(-1).to(x.dtype), (c.float() ** 2).sum(-1)
        return lambda: self.nearest(x, c, x_sq, c_sq=c_sq)

    def run(self, x, c, iterations):
        self.fit(x, c.shape[1], max_iters=iterations, tol=-1.0, init_centroids=c)

    def about(self, x, c):
        return {"kernel": "Triton"}


class FlashLib:
    TYPES = ("float16",)

    def __init__(self):
        import importlib.metadata

        from flashlib.primitives.kmeans import batch_kmeans_Euclid, euclid_assign_triton, triton_lloyd_centroid_step_euclid
        from flashlib.primitives.kmeans.cutedsl import assign, cutedsl_assign_euclid, cutedsl_info, cutedsl_kmeans_Euclid

        if not assign._try_init_cutedsl():
            raise ImportError(cutedsl_info())
        self.version = importlib.metadata.version("flashlib")
        self.update = triton_lloyd_centroid_step_euclid
        self.cutedsl, self.triton = (cutedsl_assign_euclid, cutedsl_kmeans_Euclid), (euclid_assign_triton, batch_kmeans_Euclid)
        self.tuned = assign._autotune_cache

    def functions(self, x):
        """Of assignment and fit."""
        return self.cutedsl if x.shape[2] % 16 == 0 and x.shape[2] <= 512 else self.triton

    def assignment(self, x, c):
        """The first call tunes the CuTe DSL kernel to the shape."""
        c_sq = (c.float() ** 2).sum(-1)
        return lambda: self.functions(x)[0](x, c, c_sq=c_sq)

    def run(self, x, c, iterations):  # it writes to its first centroids
        self.functions(x)[1](x, c.shape[1], max_iters=iterations, tol=-1.0, init_centroids=c.clone())

    def about(self, x, c):
        """The kernel and the tile that was chosen. Where its tuning fails, it calls a Triton kernel."""
        if self.functions(x) is self.triton:
            return {"kernel": "Triton"}
        tile = self.tuned.get((x.shape[1], x.shape[2], c.shape[1], x.dtype, c.dtype))
        if tile is None:
            raise ValueError("the CuTe DSL kernel was not tuned to this shape")
        return {"kernel": "CuTe DSL", "tile": list(tile)}


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


def gaussian_rows(dtype, N, K, D):
    """Rows and first centroids on the GPU, in one batch."""
    import torch

    x = torch.randn(1, N, D, device="cuda", dtype=dtype)
    return x, x[:, torch.randperm(N, device="cuda")[:K]].clone()


def read_dump(folder, stored, N, K, D):
    """Rows and first centroids as arrays, and what both are to be divided by."""
    import numpy as np

    name = f"{stored}-{N}x{D}"
    x = np.load(os.path.join(folder, f"rows-{name}.npy"))
    c = np.load(os.path.join(folder, f"centroids-{name}-{K}.npy"))
    if x.shape != (N, D) or c.shape != (K, D) or x.dtype.name != stored:
        raise ValueError(f"the files of {name} hold {x.shape} {x.dtype} and {c.shape}")
    return x, c, 16 if stored in ("uint8", "int8") else 1


def dumped_rows(dtype, folder, stored, N, K, D):
    """The same as gaussian_rows(), of files."""
    import torch

    x, c, divisor = read_dump(folder, stored, N, K, D)
    return tuple((torch.from_numpy(array).cuda().to(dtype) / divisor)[None] for array in (x, c))


def share_right(x, c, labels, sample):
    """Of the sampled labels, those whose centroid is a nearest one."""
    import torch

    distances = torch.cdist(x[0, sample].double(), c[0].double(), compute_mode="donot_use_mm_for_euclid_dist")
    own = distances.gather(1, labels[0, sample].long()[:, None])[:, 0]
    return (own <= distances.amin(1)).double().mean().item()


def measure(tool, x, c, cool, after):
    import torch

    (_, N, D), K = x.shape, c.shape[1]
    assign = tool.assignment(x, c)
    labels = assign()
    about = tool.about(x, c)
    right = share_right(x, c, labels, torch.randperm(N, device="cuda")[:4096])
    rows = min(N, max(1, (4 << 30) // (K * x.element_size())))
    out = torch.empty(rows, K, device="cuda", dtype=x.dtype)
    torch.cuda.synchronize()
    time.sleep(cool)
    t = median_ms(assign)
    run = {count: median_ms(lambda: tool.run(x, c, count), 3, 1) for count in (after, ITERATIONS, after + ITERATIONS) if count > 0}
    return dict(dtype=str(x.dtype)[6:], N=N, K=K, D=D, assign_ms=t, assign_tflops=2e-9 * N * K * D / t,
                update_ms=median_ms(lambda: tool.update(x, labels, c)),
                sort_ms=median_ms(lambda: torch.sort(labels, dim=-1)),
                iter_ms=run[ITERATIONS] / ITERATIONS, later_ms=(run[after + ITERATIONS] - run.get(after, 0)) / ITERATIONS,
                gemm_ms=median_ms(lambda: torch.mm(x[0, :rows], c[0].t(), out=out)) * N / rows,
                fp64=right, version=tool.version, **about)


def parse_shapes(text):
    return [tuple(int(size) for size in shape.split(",")) for shape in text.split(";")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--dtype", choices=["float16", "float32"], action="append")
    parser.add_argument("--shapes", type=parse_shapes, default=SHAPES, help='"N,K,D[;...]"')
    parser.add_argument("--dump", metavar="FOLDER", help="rows and first centroids that bench_kernels has written")
    parser.add_argument("--stored", default="float16", help="their type: float16, float32, uint8 or int8")
    parser.add_argument("--after", type=int, default=2, help='iterations before those of "later"')
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
            dtype = getattr(torch, name)
            try:
                x, c = dumped_rows(dtype, arguments.dump, arguments.stored, *shape) if arguments.dump else gaussian_rows(dtype, *shape)
                found = measure(tool, x, c, arguments.cool, arguments.after)
            except Exception as error:  # a peer runs out of shared memory for some D, or does not take it
                found = dict(dtype=name, shape=shape, error=repr(error)[:160])
            print(json.dumps(found), flush=True)
            x = c = None
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
