/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory behind a waiting thread. A handshake and a look into the store touch tens of kilobytes
 * of stack; in hundreds of threads that then wait for their next connection it would stay resident
 * for nothing.
 */
#ifndef FELHOM_STACK_H
#define FELHOM_STACK_H

/* Gives the calling thread's stack below this call back to the system; the next use of it gets
 * zeroed pages. lowest: from stack_lowest(). */
void stack_give_back(void *lowest);

/* Where the calling thread's stack ends; NULL where that cannot be found out, which stack_give_back
 * takes. */
void *stack_lowest(void);

#endif
