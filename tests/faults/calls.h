/* The calls that can be made to fail, one per row:
 *
 *     CALL(kind, errno, result type, result of a failure, name, (parameters), (arguments))
 * The build reads the names from here and hands them to the linker (--wrap). A few more are written out
 * in faults.c.
 */
/* clang-format off */
CALL(ALLOC, 0, int, ENOMEM, posix_memalign, (void **out, size_t alignment, size_t bytes), (out, alignment, bytes))
CALL(ALLOC, ENOMEM, void *, NULL, malloc, (size_t bytes), (bytes))
CALL(ALLOC, ENOMEM, void *, NULL, calloc, (size_t count, size_t bytes), (count, bytes))
CALL(ALLOC, ENOMEM, void *, NULL, realloc, (void *old, size_t bytes), (old, bytes))
CALL(ALLOC, ENOMEM, char *, NULL, strdup, (const char *text), (text))
CALL(ALLOC, ENOMEM, char *, NULL, strndup, (const char *text, size_t bytes), (text, bytes))
CALL(ALLOC, ENOMEM, FILE *, NULL, open_memstream, (char **text, size_t *bytes), (text, bytes))

CALL(READ, EIO, hid_t, -1, H5Fopen, (const char *name, unsigned flags, hid_t access), (name, flags, access))
CALL(READ, EIO, hid_t, -1, H5Dopen2, (hid_t parent, const char *name, hid_t access), (parent, name, access))
CALL(READ, EIO, hid_t, -1, H5Gopen2, (hid_t parent, const char *name, hid_t access), (parent, name, access))
CALL(READ, EIO, hid_t, -1, H5Oopen, (hid_t parent, const char *name, hid_t access), (parent, name, access))
CALL(READ, EIO, hid_t, -1, H5Aopen, (hid_t object, const char *name, hid_t access), (object, name, access))
CALL(READ, EIO, hid_t, -1, H5Dget_space, (hid_t dataset), (dataset))
CALL(READ, EIO, hid_t, -1, H5Dget_type, (hid_t dataset), (dataset))
CALL(READ, EIO, hid_t, -1, H5Dget_create_plist, (hid_t dataset), (dataset))
CALL(READ, EIO, hid_t, -1, H5Aget_space, (hid_t attribute), (attribute))
CALL(READ, EIO, hid_t, -1, H5Aget_type, (hid_t attribute), (attribute))
CALL(READ, EIO, htri_t, -1, H5Lexists, (hid_t parent, const char *name, hid_t access), (parent, name, access))
CALL(READ, EIO, htri_t, -1, H5Aexists, (hid_t object, const char *name), (object, name))
CALL(READ, EIO, herr_t, -1, H5Aread, (hid_t attribute, hid_t type, void *out), (attribute, type, out))
CALL(READ, EIO, herr_t, -1, H5Dread, (hid_t dataset, hid_t type, hid_t memory, hid_t stored, hid_t transfer, void *out), (dataset, type, memory, stored, transfer, out))
CALL(READ, EIO, herr_t, -1, H5Dread_chunk, (hid_t dataset, hid_t transfer, const hsize_t *offset, uint32_t *filters, void *out), (dataset, transfer, offset, filters, out))
CALL(READ, EIO, ssize_t, -1, pread, (int file, void *out, size_t bytes, off_t at), (file, out, bytes, at))
CALL(READ, EIO, ssize_t, -1, read, (int file, void *out, size_t bytes), (file, out, bytes))
CALL(READ, EIO, int, -1, statvfs, (const char *path, struct statvfs *out), (path, out))
CALL(READ, EIO, int, -1, stat, (const char *path, struct stat *out), (path, out))

CALL(WRITE, ENOSPC, hid_t, -1, H5Fcreate, (const char *name, unsigned flags, hid_t creation, hid_t access), (name, flags, creation, access))
CALL(WRITE, ENOSPC, hid_t, -1, H5Gcreate2, (hid_t parent, const char *name, hid_t link, hid_t creation, hid_t access), (parent, name, link, creation, access))
CALL(WRITE, ENOSPC, hid_t, -1, H5Dcreate2, (hid_t parent, const char *name, hid_t type, hid_t space, hid_t link, hid_t creation, hid_t access), (parent, name, type, space, link, creation, access))
CALL(WRITE, ENOSPC, hid_t, -1, H5Acreate2, (hid_t object, const char *name, hid_t type, hid_t space, hid_t creation, hid_t access), (object, name, type, space, creation, access))
CALL(WRITE, ENOSPC, herr_t, -1, H5Awrite, (hid_t attribute, hid_t type, const void *data), (attribute, type, data))
CALL(WRITE, ENOSPC, herr_t, -1, H5Dwrite, (hid_t dataset, hid_t type, hid_t memory, hid_t stored, hid_t transfer, const void *data), (dataset, type, memory, stored, transfer, data))
CALL(WRITE, ENOSPC, herr_t, -1, H5Fflush, (hid_t object, H5F_scope_t scope), (object, scope))
CALL(WRITE, ENOSPC, ssize_t, -1, pwrite, (int file, const void *data, size_t bytes, off_t at), (file, data, bytes, at))
CALL(WRITE, ENOSPC, ssize_t, -1, write, (int file, const void *data, size_t bytes), (file, data, bytes))
CALL(WRITE, EIO, int, -1, fsync, (int file), (file))
CALL(WRITE, ENOSPC, int, -1, fallocate, (int file, int mode, off_t at, off_t bytes), (file, mode, at, bytes))
CALL(WRITE, ENOSPC, int, -1, ftruncate, (int file, off_t bytes), (file, bytes))

CALL(RENAME, EIO, int, -1, rename, (const char *from, const char *to), (from, to))
CALL(RENAME, EIO, int, -1, unlink, (const char *path), (path))

CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Init_thread, (int *argc, char ***argv, int asked, int *got), (argc, argv, asked, got))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Comm_dup, (MPI_Comm comm, MPI_Comm *out), (comm, out))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Comm_split_type, (MPI_Comm comm, int how, int key, MPI_Info info, MPI_Comm *out), (comm, how, key, info, out))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Iallreduce, (const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm, MPI_Request *request), (in, out, count, type, op, comm, request))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Allreduce, (const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm), (in, out, count, type, op, comm))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Iexscan, (const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm, MPI_Request *request), (in, out, count, type, op, comm, request))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Ibcast, (void *data, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request), (data, count, type, root, comm, request))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Ialltoall, (const void *in, int sent, MPI_Datatype type, void *out, int got, MPI_Datatype as, MPI_Comm comm, MPI_Request *request), (in, sent, type, out, got, as, comm, request))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Ialltoallv, (const void *in, const int *sent, const int *from, MPI_Datatype type, void *out, const int *got, const int *to, MPI_Datatype as, MPI_Comm comm, MPI_Request *request), (in, sent, from, type, out, got, to, as, comm, request))
CALL(MPI, 0, int, MPI_ERR_OTHER, MPI_Ibarrier, (MPI_Comm comm, MPI_Request *request), (comm, request))

#ifdef LLOYD_HAVE_CUDA
CALL(CUDA, 0, cudaError_t, cudaErrorMemoryAllocation, cudaMalloc, (void **out, size_t bytes), (out, bytes))
CALL(CUDA, 0, cudaError_t, cudaErrorMemoryAllocation, cudaMallocHost, (void **out, size_t bytes), (out, bytes))
CALL(CUDA, 0, cudaError_t, cudaErrorMemoryAllocation, cudaHostAlloc, (void **out, size_t bytes, unsigned flags), (out, bytes, flags))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaMemcpyAsync, (void *to, const void *from, size_t bytes, enum cudaMemcpyKind way, cudaStream_t stream), (to, from, bytes, way, stream))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaMemsetAsync, (void *to, int value, size_t bytes, cudaStream_t stream), (to, value, bytes, stream))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaGetDeviceCount, (int *count), (count))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaSetDevice, (int device), (device))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaMemGetInfo, (size_t *left, size_t *total), (left, total))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaStreamCreateWithFlags, (cudaStream_t *stream, unsigned flags), (stream, flags))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaEventCreateWithFlags, (cudaEvent_t *event, unsigned flags), (event, flags))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaStreamSynchronize, (cudaStream_t stream), (stream))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaEventSynchronize, (cudaEvent_t event), (event))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), (event, stream))
CALL(CUDA, 0, cudaError_t, cudaErrorUnknown, cudaEventElapsedTime, (float *ms, cudaEvent_t begin, cudaEvent_t end), (ms, begin, end))
CALL(CUDA, 0, cudaError_t, cudaErrorLaunchFailure, cudaGetLastError, (void), ())
CALL(CUDA, 0, cudaError_t, cudaErrorLaunchFailure, cudaLaunchKernelExC, (const cudaLaunchConfig_t *config, const void *kernel, void **arguments), (config, kernel, arguments))
CALL(CUDA, 0, cudaError_t, cudaErrorLaunchFailure, cudaLaunchCooperativeKernel, (const void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream), (kernel, grid, block, arguments, shared, stream))
#endif

#ifdef LLOYD_HAVE_NCCL
CALL(NCCL, 0, ncclResult_t, ncclSystemError, ncclGetUniqueId, (ncclUniqueId *id), (id))
CALL(NCCL, 0, ncclResult_t, ncclSystemError, ncclCommInitRankConfig, (ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config), (comm, ranks, id, rank, config))
CALL(NCCL, 0, ncclResult_t, ncclSystemError, ncclAllReduce, (const void *in, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream), (in, out, count, type, op, comm, stream))
CALL(NCCL, 0, ncclResult_t, ncclSystemError, ncclCommFinalize, (ncclComm_t comm), (comm))
#endif
/* clang-format on */
