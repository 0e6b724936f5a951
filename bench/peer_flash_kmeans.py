#!/usr/bin/env python3
"""Times flash-kmeans (Triton) on the shapes of the kernel benchmark and prints one JSON line per shape.

    bench/peer_flash_kmeans.py [--dtype float16] [--shapes "N,K,D[;...]"] [--cool SECONDS]

flash-kmeans comes from github.com/svg-project/flash-kmeans, commit 3f1ea6b; its folder must be on PYTHONPATH. Needs a GPU, torch and
triton. bench/kernels.py runs this beside bench_kernels, which measures the same things of lloyd.

assign = nearest centroid; update = sort + segmented sum; iter = a ten-iteration run / 10; gemm = cuBLAS at the same
shape with the N x K result written; fp64 = share of 4096 sampled labels equal to the double-precision ones.
Times are medians of CUDA-event timings after warm-up, in milliseconds.
"""
import argparse
import json
import time

import torch
from flash_kmeans.assign_euclid_triton import euclid_assign_triton
from flash_kmeans.centroid_update_triton import triton_centroid_update_sorted_euclid
from flash_kmeans.kmeans_triton_impl import batch_kmeans_Euclid

Mi = 1 << 20
SHAPES = [(Mi, 1024, 128), (8 * Mi, 1024, 128), (Mi, 8192, 128), (Mi, 65536, 128), (4 * Mi, 4096, 128),
          (Mi, 4096, 64), (Mi, 4096, 96), (Mi, 4096, 256), (Mi, 4096, 384), (Mi, 4096, 768),
          (Mi // 4, 4096, 1536), (16 * Mi, 256, 32)]


def median_ms(run, repeats=7, warmup=2):
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


def measure(dtype, N, K, D, cool):
    x = torch.randn(1, N, D, device="cuda", dtype=dtype)
    c = x[:, torch.randperm(N, device="cuda")[:K]].clone()
    x_sq, c_sq = (x.float() ** 2).sum(-1).to(dtype), (c.float() ** 2).sum(-1)
    assign = lambda: euclid_assign_triton(x, c, x_sq, c_sq=c_sq)
    labels = assign()
    rows = min(N, max(1, (4 << 30) // (K * x.element_size())))
    out = torch.empty(rows, K, device="cuda", dtype=dtype)
    sample = torch.randperm(N, device="cuda")[:4096]
    exact = torch.cdist(x[0, sample].double(), c[0].double()).argmin(-1)
    torch.cuda.synchronize()
    time.sleep(cool)
    t = median_ms(assign)
    return dict(dtype=str(dtype)[6:], N=N, K=K, D=D, assign_ms=t, assign_tflops=2e-9 * N * K * D / t,
                update_ms=median_ms(lambda: triton_centroid_update_sorted_euclid(x, labels, c)),
                sort_ms=median_ms(lambda: torch.sort(labels, dim=-1)),
                iter_ms=median_ms(lambda: batch_kmeans_Euclid(x, K, max_iters=10, tol=-1.0, init_centroids=c), 3, 1) / 10,
                gemm_ms=median_ms(lambda: torch.mm(x[0, :rows], c[0].t(), out=out)) * N / rows,
                fp64=(exact == labels[0, sample].long()).double().mean().item())


def parse_shapes(text):
    return [tuple(int(size) for size in shape.split(",")) for shape in text.split(";")]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--dtype", choices=["float16", "float32"], action="append")
    options.add_argument("--shapes", type=parse_shapes, default=SHAPES, help='"N,K,D[;...]"')
    options.add_argument("--cool", type=float, default=0, help="seconds without work before each shape is measured")
    arguments = options.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    for name in arguments.dtype or ["float16", "float32"]:
        for shape in arguments.shapes:
            try:
                print(json.dumps(measure(getattr(torch, name), *shape, arguments.cool)), flush=True)
            except Exception as error:  # the peer runs out of shared memory for some D: report, go on
                print(json.dumps(dict(dtype=name, shape=shape, error=repr(error)[:160])), flush=True)
            torch.cuda.empty_cache()
