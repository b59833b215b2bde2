/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How failures travel: a function that can fail returns 0 or -1 and takes a struct error as its
 * last parameter. Success never touches it. Callers add context on the way up; main prints it,
 * once.
 */
#ifndef FELHOM_ERROR_H
#define FELHOM_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_SYSTEM,   /* a system call failed; the message ends with its reason */
    ERROR_INVALID,  /* input that breaks a rule: configuration, document, argument */
    ERROR_MISSING,  /* what was asked for is not there */
    ERROR_CONFLICT, /* it is there already, or in a state that forbids the request */
    ERROR_BUSY,     /* somebody else held it until the deadline */
    ERROR_DENIED,   /* ownership, mode or policy forbids it */
    ERROR_CORRUPT,  /* stored data that cannot be what was written */
    ERROR_NEWER,    /* written by a newer version of this program */
    ERROR_FOREIGN,  /* it belongs to another guest */
};

struct error {
    enum error_kind kind;
    char message[512]; /* one line without a newline or a final full stop; cut when longer */
};

/* Fills *error and returns -1, so that `return fail(error, ...)` reads well. */
int fail(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* fail() with kind ERROR_SYSTEM and ": REASON" for the given errno value appended. */
int fail_errno(struct error *error, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " in front of the message that is already there; keeps the kind; returns -1. */
int fail_context(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
