/* SPDX-License-Identifier: Apache-2.0 */
/* The release that these sources make; the Makefile reads it here too. */
#ifndef FELHOM_VERSION_H
#define FELHOM_VERSION_H

#define FELHOM_VERSION "0.1.0"

#endif
