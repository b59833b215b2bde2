/* SPDX-License-Identifier: Apache-2.0 */
/* The version of this release. The Makefile reads it from here. */
#ifndef FELHOM_VERSION_H
#define FELHOM_VERSION_H

#define FELHOM_VERSION "0.1.0"

#endif
