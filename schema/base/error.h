/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How errors are reported: a function that can fail returns 0 or -1 and takes a struct error as its
 * last parameter, which it fills on failure and leaves alone on success. Callers put context in
 * front of the message with fail_context on the way up; main prints the message, once.
 */
#ifndef FELHOM_ERROR_H
#define FELHOM_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_SYSTEM,   /* a system call failed; the message ends with its reason */
    ERROR_INVALID,  /* input that breaks a rule: configuration, document, argument */
    ERROR_MISSING,  /* what was asked for does not exist */
    ERROR_CONFLICT, /* the object exists already, or its state forbids the request */
    ERROR_BUSY,     /* another process held a lock until the deadline */
    ERROR_DENIED,   /* ownership, mode or policy forbids it */
    ERROR_CORRUPT,  /* stored data that cannot be what was written */
    ERROR_NEWER,    /* stored by a newer version of this program */
    ERROR_FOREIGN,  /* the object belongs to another guest */
};

struct error {
    enum error_kind kind;
    char message[512]; /* one line that is safe to show (text_mask), without a final full stop; cut
                        * if too long */
};

/* Fills *error and returns -1, so that callers can write `return fail(error, ...)`. */
int fail(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like fail() with ERROR_SYSTEM, and appends ": " and strerror's text for errnum. */
int fail_errno(struct error *error, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For what may be missing: returns 0 if the problem is ERROR_MISSING; otherwise copies the problem
 * to *error and returns -1. */
int fail_unless_missing(struct error *error, const struct error *problem);

/* Puts "CONTEXT: " in front of the message in *error, keeps the kind, and returns -1. */
int fail_context(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
