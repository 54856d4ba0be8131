/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-attributes-private.h"
#include "io-door-private.h"
#include "io-service-private.h"

G_BEGIN_DECLS

/* What the files of #IOService share: io-service.c is the object,
 * io-service-register.c the name and the ways in, io-service-admit.c lets
 * clients in, io-service-open.c has who has it open, io-service-attributes.c
 * the attributes, io-service-terminate.c the end. */

typedef struct {
  char         *name;
  IOWorkLoop   *work_loop;
  GMainContext *context;
  pid_t         pid;
  IOAttributes *attributes;
  IODoor       *door;
  GList        *clients;      /* of IOUserClient, with references */
  IOUserClient *owner;        /* who has it open, as far as the default
                                 handle_open goes; with a reference */
  int           published;    /* atomic: others can know of it */
  GSource      *publishing;   /* what has changed; under a lock */
  guint         registered : 1;
  guint         inactive : 1;
} IOServicePrivate;

/* Work that belongs to the thread of the work loop. */
typedef gboolean (*IOServiceFunc) (IOService  *self,
                                   gpointer    data,
                                   GError    **error);

/* io-service.c */
IOServicePrivate *_io_service_get_private (IOService      *self);

/* io-service-register.c */
/* Calls @func in the thread of the service, if there is a work loop. FALSE in
 * @ran: there is no such thread any more, and @func was not called. */
gboolean          _io_service_run         (IOService      *self,
                                           IOServiceFunc   func,
                                           gpointer        data,
                                           gboolean       *ran,
                                           GError        **error);

/* io-service-publish.c */
/* Tells everybody what there is to know, or (@again) that the service is
 * registered again. Context thread, with a name. */
gboolean          _io_service_publish     (IOService      *self,
                                           gboolean        again,
                                           GError        **error);
/* In the next turn, if it is published at all. Any thread. */
void              _io_service_publish_soon (IOService     *self);
void              _io_service_unpublish   (IOService      *self);

/* io-service-open.c */
void              _io_service_class_init_open (IOServiceClass *klass);

G_END_DECLS
