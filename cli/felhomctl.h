/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of felhomctl but for its name. */
#ifndef FELHOM_FELHOMCTL_H
#define FELHOM_FELHOMCTL_H

/* Runs the verb that the arguments ask for, prints its result or, once, its error, and returns what
 * to exit with. */
int felhomctl_main(int argc, char **argv);

#endif
