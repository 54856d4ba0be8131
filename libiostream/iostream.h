/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#define IO_STREAM_INSIDE

#include <libiostream/io-action.h>
#include <libiostream/io-buffer-memory-descriptor.h>
#include <libiostream/io-connection.h>
#include <libiostream/io-enum-types.h>
#include <libiostream/io-enums.h>
#include <libiostream/io-error.h>
#include <libiostream/io-external-method.h>
#include <libiostream/io-matching.h>
#include <libiostream/io-interrupt-controller.h>
#include <libiostream/io-memory-descriptor.h>
#include <libiostream/io-memory-map.h>
#include <libiostream/io-notification-port.h>
#include <libiostream/io-registry.h>
#include <libiostream/io-registry-entry.h>
#include <libiostream/io-service-methods.h>
#include <libiostream/io-service.h>
#include <libiostream/io-shared-data-queue.h>
#include <libiostream/io-shared-interrupt-controller.h>
#include <libiostream/io-stream-buffer-queue-entry.h>
#include <libiostream/io-stream-buffer-queue.h>
#include <libiostream/io-stream-buffer.h>
#include <libiostream/io-stream-connection.h>
#include <libiostream/io-stream-statistics.h>
#include <libiostream/io-stream-user-client.h>
#include <libiostream/io-stream.h>
#include <libiostream/io-types.h>
#include <libiostream/io-user-client.h>
#include <libiostream/io-version-macros.h>
#include <libiostream/io-version.h>
#include <libiostream/io-work-loop.h>

#undef IO_STREAM_INSIDE
