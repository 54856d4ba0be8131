/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(IO_STREAM_INSIDE) && !defined(IO_STREAM_COMPILATION)
#error "Only <libiostream/iostream.h> can be included directly."
#endif

#include <gio/gio.h>

#include <libiostream/io-enums.h>
#include <libiostream/io-version-macros.h>

G_BEGIN_DECLS

typedef struct _IOAction                 IOAction;
typedef struct _IOBufferMemoryDescriptor IOBufferMemoryDescriptor;
typedef struct _IOConnection             IOConnection;
typedef struct _IOExternalMethodArguments IOExternalMethodArguments;
typedef struct _IOExternalMethodDispatch IOExternalMethodDispatch;
typedef struct _IOInterruptController    IOInterruptController;
typedef struct _IOMemoryDescriptor       IOMemoryDescriptor;
typedef struct _IOMemoryMap              IOMemoryMap;
typedef struct _IONotificationPort       IONotificationPort;
typedef struct _IORegistry               IORegistry;
typedef struct _IORegistryEntry          IORegistryEntry;
typedef struct _IOService                IOService;
typedef struct _IOSharedDataQueue        IOSharedDataQueue;
typedef struct _IOSharedInterruptController IOSharedInterruptController;
typedef struct _IOStream                 IOStream;
typedef struct _IOStreamBuffer           IOStreamBuffer;
typedef struct _IOStreamBufferQueue      IOStreamBufferQueue;
typedef struct _IOStreamBufferQueueEntry IOStreamBufferQueueEntry;
typedef struct _IOStreamClientStatistics IOStreamClientStatistics;
typedef struct _IOStreamConnection       IOStreamConnection;
typedef struct _IOStreamStatistics       IOStreamStatistics;
typedef struct _IOStreamUserClient       IOStreamUserClient;
typedef struct _IOUserClient             IOUserClient;
typedef struct _IOWorkLoop               IOWorkLoop;

G_END_DECLS
