/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <libiostream/io-error.h>

#include "libiostream/io-enum-types.h"

static void
test_error_domain (void)
{
  g_assert_cmpstr (g_quark_to_string (IO_STREAM_ERROR), ==, "io-stream-error-quark");
}

/* The numbers travel in the control protocol and must never move. */
static void
test_error_numbers (void)
{
  g_assert_cmpint (IO_STREAM_ERROR_FAILED, ==, 1);
  g_assert_cmpint (IO_STREAM_ERROR_EXCLUSIVE_ACCESS, ==, 8);
  g_assert_cmpint (IO_STREAM_ERROR_TIMEOUT, ==, 21);
  g_assert_cmpint (IO_STREAM_ERROR_OVERRUN, ==, 32);
  g_assert_cmpint (IO_STREAM_ERROR_INVALID, ==, 38);
}

static void
test_error_enum_type (void)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (IO_TYPE_STREAM_ERROR);
  GEnumValue *value = g_enum_get_value (klass, IO_STREAM_ERROR_NOT_OPEN);

  g_assert_nonnull (value);
  g_assert_cmpstr (value->value_nick, ==, "not-open");
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/error/domain", test_error_domain);
  g_test_add_func ("/error/numbers", test_error_numbers);
  g_test_add_func ("/error/enum-type", test_error_enum_type);

  return g_test_run ();
}
