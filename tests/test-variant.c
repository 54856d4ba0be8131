/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libiostream/io-variant-private.h"

#include <string.h>

static const char *const samples[] = {
  "(uint32 3, @at [1, 2, 3], b'abc', uint64 7, uint32 16, uint32 9)",
  "(uint32 3, @at [], @ay [], uint64 0, uint32 16, uint32 9)",
  "(uint32 1, <(b'bytes', 'text', [1.5, 2.5])>, '', uint64 0)",
  "(uint32 1, <<<<<<b'deep'>>>>>>, '', uint64 0)",
  "<@an [1, 2]>",
  "(true, [false, true], 'x', @mv <1>, {'a': <b'c'>})",
  "[(b'ab', 1), (b'', 2)]",
  "@ay []",
  "@aad [[1.0], []]",
  "()",
};

/* On memory of its own, with zeros behind it as behind all that comes in. */
static GVariant *
make_untrusted (const GVariantType *type,
                const guint8       *bytes,
                gsize               size)
{
  guint8 *copy = g_malloc0 (size + sizeof (guint64));
  g_autoptr (GBytes) data = NULL;

  if (size > 0)
    memcpy (copy, bytes, size);
  data = g_bytes_new_with_free_func (copy, size, g_free, copy);

  return g_variant_ref_sink (g_variant_new_from_bytes (type, data, FALSE));
}

/* It agrees with GVariant, which looks at each byte. */
static void
compare (const GVariantType *type,
         const guint8       *bytes,
         gsize               size)
{
  g_autoptr (GVariant) value = make_untrusted (type, bytes, size);
  g_autoptr (GVariant) other = make_untrusted (type, bytes, size);
  g_autoptr (GVariant) trusted = _io_variant_to_trusted (value);
  g_autoptr (GVariant) normal = _io_variant_to_normal (value);

  g_assert_cmpint (trusted != NULL, ==, g_variant_is_normal_form (other));
  g_assert_true (g_variant_is_normal_form (normal));
  g_assert_true (g_variant_equal (normal, other));
  if (trusted != NULL)
    {
      g_assert_cmpmem (g_variant_get_data (trusted), g_variant_get_size (trusted), bytes, size);
      g_assert_true (g_variant_is_of_type (trusted, type));
    }
}

static void
test_sound (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = g_variant_new_parsed (samples[i]);
      g_autoptr (GVariant) trusted = _io_variant_to_trusted (value);

      g_assert_nonnull (trusted);
      g_assert_true (g_variant_equal (trusted, value));
      compare (g_variant_get_type (value), g_variant_get_data (value), g_variant_get_size (value));
    }
}

static void
test_broken (void)
{
  for (guint i = 0; i < 20000; i++)
    {
      g_autoptr (GVariant) value = g_variant_new_parsed (samples[i % G_N_ELEMENTS (samples)]);
      gsize size = g_variant_get_size (value);
      g_autofree guint8 *bytes = g_malloc0 (size + 16);

      if (size > 0)
        memcpy (bytes, g_variant_get_data (value), size);
      for (gint n = g_test_rand_int_range (0, 4); n > 0 && size > 0; n--)
        bytes[g_test_rand_int_range (0, size)] = (guint8) (g_test_rand_bit () ? g_test_rand_int ()
                                                                              : g_test_rand_int_range (0, 12));
      if (g_test_rand_int_range (0, 4) == 0)
        size = g_test_rand_int_range (0, size + 16);
      compare (g_variant_get_type (value), bytes, size);
    }
}

/* In the time that it takes to copy it, and not a call for each byte. */
static void
test_large (void)
{
  const gsize size = 16 * 1024 * 1024;
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (size), size);
  g_autoptr (GVariant) large = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                                                             bytes, FALSE));
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new ("(s@ay)", "x", large));
  g_autoptr (GVariant) trusted = _io_variant_to_trusted (value);

  g_assert_nonnull (trusted);
  g_assert_cmpuint (g_variant_get_size (trusted), ==, g_variant_get_size (value));
}

/* What a peer can make the other side look at, byte by byte. */
static void
test_walked (void)
{
  const struct { const char *text; gsize size; } values[] = {
    { "[byte 1, 2, 3]", 0 },
    { "[uint64 1, 2]", 0 },
    { "(@ay [1, 2], @at [3])", 0 },
    { "(@ay [1, 2], 'four')", 5 },
    { "<<'four'>>", 5 },
    { "[true, false]", 2 },
    { "[(byte 1,), (2,)]", 2 },
    { "(((((@ay [1, 2, 3],),),),),)", 3 },
    { "()", 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr (GVariant) value = g_variant_parse (NULL, values[i].text, NULL, NULL, NULL);

      g_test_message ("%s", values[i].text);
      g_assert_nonnull (value);
      g_assert_cmpuint (_io_variant_get_walked_size (value), ==, values[i].size);
    }
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/variant/sound", test_sound);
  g_test_add_func ("/variant/broken", test_broken);
  g_test_add_func ("/variant/large", test_large);
  g_test_add_func ("/variant/walked", test_walked);

  return g_test_run ();
}
