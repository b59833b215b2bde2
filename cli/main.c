/* SPDX-License-Identifier: Apache-2.0 */
/* felhomctl: what the operator does with the agent. One file per verb, dispatched from the table in
 * felhomctl.c. */
#include "cli/felhomctl.h"

int main(int argc, char **argv)
{
    return felhomctl_main(argc, argv);
}
