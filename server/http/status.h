/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP statuses that the local API answers with. */
#ifndef FELHOM_STATUS_H
#define FELHOM_STATUS_H

/* The reason phrase of the status line: "Not Found". */
const char *status_phrase(int status);

/* One sentence for the guest where there is nothing more to say. */
const char *status_text(int status);

#endif
