/* What a checkpoint keeps in memory. Of job/checkpoint alone; everybody else has checkpoint.h. */
#ifndef LLOYD_CHECKPOINT_STATE_H
#define LLOYD_CHECKPOINT_STATE_H

#include "io/writers/checkpoint.h"
#include "job/checkpoint/checkpoint.h"
#include "job/options.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct lloyd_checkpoint {
    lloyd_comm *comm;
    const lloyd_fit_options *options;
    const lloyd_rows *rows;
    const lloyd_outcome *best;
    int64_t n, k, d;
    lloyd_every every;
    uint64_t data; /* the fingerprint: of the file that was read, then of the data */
    char *deciding, *inputs;

    int resumed; /* a file was read */
    int holds;   /* what follows is from the file, and not yet restored */
    int repeats; /* the next iteration is `last` once more */

    /* what is kept: on rank 0, and on all ranks from reading until it is restored */
    int64_t restart;
    lloyd_history history; /* the iterations before `last` */
    lloyd_iteration last;  /* the last one that was finished; its iteration is 0 for none */
    float *centroids;      /* [k*d] which `last` began with, or the first ones; NULL: none */
    int64_t drawn, steps;  /* of a seeding that is not finished, instead of all these; 0: it is */
    int64_t *seeds;        /* [drawn], with room for the most */

    int dirty;      /* 1: what is kept is newer than the image */
    double kept;    /* when it was */
    int64_t since;  /* iterations since the file was written */
    double written; /* when it was */

    /* Of rank 0: the last finished iteration as the bytes of a file, to be written at any moment. */
    pthread_mutex_t keeping; /* of what is kept, where the guard looks at it; taken before `lock` */
    pthread_mutex_t lock;    /* of the rest */
    lloyd_saved_image image;
    char place[64]; /* what is in it, or in the file that was read: "iteration 12"; "": nothing */
    int unsaved;    /* 1: the image is newer than the file */

    pthread_t guard;
    int guarded; /* 1: that thread runs */
    atomic_int ending;
};

/* The name of the file. */
const char *lloyd_checkpoint_file(const lloyd_checkpoint *checkpoint);

/* 1 where the seeding is kmeans-parallel, which draws in rounds. */
int lloyd_checkpoint_in_rounds(const lloyd_checkpoint *checkpoint);

/* The most rows that an unfinished seeding has drawn; 0: it draws all at once. */
int64_t lloyd_checkpoint_most_seeds(const lloyd_fit_options *options);

/* What is kept, into text[bytes]: "iteration 12", or "iteration 3 of run 2" where there are several. */
const char *lloyd_checkpoint_place(const lloyd_checkpoint *checkpoint, char *text, size_t bytes);

#endif
