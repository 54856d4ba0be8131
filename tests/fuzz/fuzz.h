/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* What the engine calls with each input; it must return 0. */
int LLVMFuzzerTestOneInput (const uint8_t *data,
                            size_t         size);
