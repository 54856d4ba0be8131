/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gunixfdlist.h>

#include "io-action-private.h"

G_BEGIN_DECLS

/* What io-action.c, the object, and io-action-call.c, the call behind it,
 * share. */
struct _IOActionCall {
  GMainContext *context;
  GThread      *thread;
  guint         fork_count;
  IOOpcode      opcode;
  guint32       serial;
  guint         selector;
  guint         max_scalars;
  guint32       max_structure;
  GWeakRef      action;

  GMutex        lock;         /* covers what follows */
  GQueue        due;          /* of Message */
  guint         n_dropped;
  gboolean      scheduled;
  gboolean      answered;     /* or aborted */
  gboolean      aborted;

  IOUserClient *client;       /* borrowed; thread of the service only. NULL when
                                 the answer is sent or nobody waits for it */
};

/* Takes over @packet. FALSE if there is an answer already, or the client waits
 * for none. Any thread. */
gboolean      _io_action_call_post       (IOActionCall  *self,
                                          gboolean       is_answer,
                                          GBytes        *packet,
                                          GUnixFDList   *fds,
                                          GError       **error);
GBytes       *_io_action_call_build_failure (IOActionCall  *self,
                                          IOStreamError  code,
                                          const char    *text);
gboolean      _io_action_call_is_answered (IOActionCall *self,
                                          gboolean      *aborted);
/* Before the work of making an answer. */
gboolean      _io_action_call_check_pending (IOActionCall *self,
                                          GError       **error);

/* io-action.c */
void          _io_action_tell_aborted    (IOAction      *self);

G_END_DECLS
