/* Loops over elements are leaf functions compiled several times (LLOYD_CLONES) and picked at run
 * time; they contain no OpenMP region, because an outlined region would not be cloned. Rounding is
 * the same in every clone: no contraction, fma() where the contract says fma. LLOYD_ONE_TARGET
 * leaves only the compiler's own target (a test compares them).
 */
#ifndef LLOYD_KERNELS_CLONES_H
#define LLOYD_KERNELS_CLONES_H

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(LLOYD_ONE_TARGET)
#define LLOYD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LLOYD_CLONES
#endif

#endif
