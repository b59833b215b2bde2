/* SPDX-License-Identifier: Apache-2.0 */
/* How long to leave a service alone that did not answer as it should. */
#ifndef FELHOM_BACKOFF_H
#define FELHOM_BACKOFF_H

#include <stdint.h>

/* After so many failures in a row (1, ...): 30 s, doubled each time, up to limit_ms; and up to an
 * eighth more, so that hosts that failed together do not come back together. */
int64_t backoff_ms(uint32_t failures, int64_t limit_ms);

#endif
