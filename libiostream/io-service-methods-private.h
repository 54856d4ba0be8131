/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io-service-methods.h"

G_BEGIN_DECLS

/* Calls what io_service_add_method() added. As #IOUserClientClass.method(). */
GVariant *_io_service_run_method (IOService     *self,
                                  IOUserClient  *client,
                                  guint          selector,
                                  GVariant      *parameters,
                                  IOAction      *action,
                                  GError       **error);

G_END_DECLS
