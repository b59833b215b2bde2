/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/place.h"

#include <stdlib.h>

void place_free(struct place *place)
{
    cleanup_close_fn(&place->fd);
    free(place->path);
}
