/* SPDX-License-Identifier: Apache-2.0 */
/* How hot the processor is, by the kernel's own sensors. */
#ifndef FELHOM_CPU_TEMPERATURE_H
#define FELHOM_CPU_TEMPERATURE_H

#include <limits.h>

#define TEMPERATURE_UNKNOWN INT_MIN

/*
 * The hottest of the processor's sensors below ROOT/sys, in thousandths of a degree Celsius: those
 * of hwmon, else the thermal zones. TEMPERATURE_UNKNOWN where there is none, as in most virtual
 * machines, or none that tells something believable.
 */
int cpu_temperature(const char *root);

#endif
