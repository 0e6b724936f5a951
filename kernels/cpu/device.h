/* The CPU as a device. */
#ifndef LLOYD_KERNELS_CPU_DEVICE_H
#define LLOYD_KERNELS_CPU_DEVICE_H

#include "kernels/device.h"

extern const lloyd_device lloyd_device_cpu;

#endif
