/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "libiostream/io-record-private.h"
#include "libiostream/io-registry-private.h"

#include "registry-util.h"

static IORecord *
new_record (const char *attributes)
{
  IORecord *record = _io_record_new (g_strsplit ("IOCamera IOStream IOService", " ", -1),
                                     g_variant_new_parsed (attributes));

  record->id = G_GUINT64_CONSTANT (0xfedcba9876543210);
  record->time = 12345;
  record->registrations = 7;

  return record;
}

static void
test_round_trip (void)
{
  g_autoptr (IORecord) record = new_record ("{'size': <1000>, 'nested': <{'a': <'b'>}>}");
  g_autoptr (GBytes) bytes = _io_record_encode (record);
  g_autoptr (IORecord) copy = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  /* The rest of a longer one. */
  g_autofree guint8 *longer = g_malloc (size + 100);

  memcpy (longer, data, size);
  memset (longer + size, 0xff, 100);
  copy = _io_record_decode (longer, size + 100);
  g_assert_nonnull (copy);
  g_assert_cmpuint (copy->id, ==, record->id);
  g_assert_cmpint (copy->time, ==, 12345);
  g_assert_cmpuint (copy->registrations, ==, 7);
  g_assert_cmpuint (copy->flags, ==, 0);
  g_assert_true (g_strv_equal ((const char * const *) copy->classes,
                               (const char * const *) record->classes));
  g_assert_true (g_variant_equal (copy->attributes, record->attributes));
}

static void
test_too_large (void)
{
  g_autofree char *text = g_strnfill (IO_RECORD_MAX_SIZE, 'x');
  g_autoptr (GVariant) attributes = g_variant_ref_sink (g_variant_new_parsed ("{'text': <%s>}", text));
  g_autoptr (IORecord) record = _io_record_new (g_strsplit ("IOService", " ", -1), attributes);
  g_autoptr (IORecord) copy = NULL;
  g_autoptr (IORecord) hopeless = NULL;
  g_autoptr (GBytes) bytes = _io_record_encode (record);

  g_assert_cmpuint (g_bytes_get_size (bytes), <, 200);
  copy = _io_record_decode (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_assert_cmpuint (copy->flags, ==, IO_RECORD_NO_ATTRIBUTES);
  g_assert_cmpuint (g_variant_n_children (copy->attributes), ==, 0);

  hopeless = _io_record_new (g_strsplit (text, " ", -1), attributes);
  g_assert_null (_io_record_encode (hopeless));
}

/* No byte can be another, and none can be missing. */
static void
test_damaged (void)
{
  g_autoptr (IORecord) record = new_record ("{'size': <1000>}");
  g_autoptr (GBytes) bytes = _io_record_encode (record);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_autofree guint8 *copy = g_memdup2 (data, size);

  for (gsize i = 0; i < size; i++)
    {
      copy[i] ^= 0x40;
      g_assert_null (_io_record_decode (copy, size));
      copy[i] ^= 0x40;
      g_assert_null (_io_record_decode (copy, i));
    }
}

/* The checksum is right, so that only the body is judged. */
static GBytes *
new_bytes (gconstpointer body,
           gsize         body_size,
           guint32       length)
{
  guint32 header[10] = { 0x63524f49u, 1, length, 0, 1, 2, 3, 4, 1, 0 };
  GByteArray *array = g_byte_array_new ();
  guint32 sum = 0x811c9dc5u;

  g_byte_array_append (array, (guint8 *) header, sizeof header);
  g_byte_array_append (array, body, body_size);
  for (guint i = 16; i < array->len; i++)
    sum = (sum ^ array->data[i]) * 0x01000193u;
  memcpy (array->data + 12, &sum, sizeof sum);

  return g_byte_array_free_to_bytes (array);
}

static GBytes *
new_bytes_of (const char *text)
{
  g_autoptr (GVariant) body = g_variant_ref_sink (g_variant_new_parsed (text));

  return new_bytes (g_variant_get_data (body), g_variant_get_size (body), g_variant_get_size (body));
}

static GBytes *
new_hostile (guint i)
{
  static const guint8 garbage[64] = { 1, 2, 3, 200, 255, 7, 64, 63, 62, 0, 0, 1 };
  g_autofree char *many = NULL;
  GString *text;

  switch (i)
    {
    case 0: return new_bytes (garbage, sizeof garbage, sizeof garbage);
    case 1: return new_bytes (garbage, sizeof garbage, G_MAXUINT32);
    case 2: return new_bytes (garbage, sizeof garbage, 0x7fffffff);
    case 3: return new_bytes (garbage, 0, 0);
    case 4: return new_bytes_of ("(@as [], @a{sv} {})");
    case 5: return new_bytes_of ("([''], @a{sv} {})");
    case 6: return new_bytes_of ("(['IO\\u001b[2J'], @a{sv} {})");
    case 7: return new_bytes_of ("(['ÄÖ'], @a{sv} {})");
    case 8: return new_bytes_of ("('IOService', 1)");
    case 9:
      text = g_string_new ("(['A'");
      for (guint j = 0; j < IO_RECORD_MAX_CLASSES; j++)
        g_string_append (text, ", 'A'");
      g_string_append (text, "], @a{sv} {})");
      many = g_string_free (text, FALSE);
      return new_bytes_of (many);
    default: return NULL;
    }
}

static void
test_hostile (void)
{
  g_autoptr (GBytes) good = new_bytes_of ("(['IOService'], {'a': <1>})");
  g_autoptr (IORecord) record = _io_record_decode (g_bytes_get_data (good, NULL),
                                                   g_bytes_get_size (good));
  GBytes *bytes;

  g_assert_nonnull (record);
  for (guint i = 0; (bytes = new_hostile (i)) != NULL; i++)
    {
      g_assert_null (_io_record_decode (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)));
      g_bytes_unref (bytes);
    }
}

static void
test_random (void)
{
  g_autoptr (IORecord) record = new_record ("{'size': <1000>, 'nested': <{'a': <'b'>}>}");
  g_autoptr (GVariant) body = g_variant_ref_sink (g_variant_new ("(^as@a{sv})", record->classes,
                                                                 record->attributes));
  gsize size = g_variant_get_size (body);
  g_autofree guint8 *copy = g_malloc (size);

  for (guint i = 0; i < 20000; i++)
    {
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (IORecord) found = NULL;

      g_variant_store (body, copy);
      for (int j = g_test_rand_int_range (1, 5); j > 0; j--)
        copy[g_test_rand_int_range (0, size)] = g_test_rand_int ();
      bytes = new_bytes (copy, size, size);
      found = _io_record_decode (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      if (found != NULL)
        {
          g_autoptr (IORegistryEntry) entry = _io_registry_entry_new ("x", found);
          g_autofree char *text = g_variant_print (found->attributes, TRUE);

          g_assert_true (g_utf8_validate (text, -1, NULL));
          io_registry_entry_matches (entry, record->attributes);
        }
    }
}

/* The other process, which holds the locks of a name and has what it likes in
 * the file. */
static void
hold (const char *name,
      GBytes     *bytes)
{
  struct flock lock = { .l_type = F_WRLCK };
  g_autofree char *path = g_strdup_printf ("%s/%s.lock", g_getenv ("IOSTREAM_RUNTIME_DIR"), name);
  int fd = open (path, O_RDWR | O_CREAT, 0600);
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  g_assert_cmpint (fcntl (fd, F_SETLK, &lock), ==, 0);
  g_assert_cmpint (pwrite (fd, data, size, 0), ==, (gssize) size);
}

static int
run_hostile (void)
{
  g_autofree char *order = NULL;
  g_autofree guint8 *huge = g_malloc0 (1 << 20);
  g_autoptr (GBytes) large = g_bytes_new_static (huge, 1 << 20);
  g_autoptr (GBytes) good = new_bytes_of ("(['IOService'], {'a': <1>})");
  GBytes *bytes;

  for (guint i = 0; (bytes = new_hostile (i)) != NULL; i++)
    {
      g_autofree char *name = g_strdup_printf ("bad%u", i);

      hold (name, bytes);
      g_bytes_unref (bytes);
    }
  hold ("large", large);
  hold ("good", good);
  peer_say ("here");
  order = peer_take_order ();
  return 0;
}

static void
test_hostile_owner (Fixture       *fixture,
                    gconstpointer  data)
{
  Peer *peer = peer_spawn (-1, -1, "hostile", NULL);
  g_autoptr (GPtrArray) list = NULL;
  g_auto (GStrv) names = NULL;
  Watch watch;

  peer_expect (peer, "here");
  watch_init (&watch, NULL);
  watch_expect (&watch, "published good\nmatched good\n");
  list = io_registry_list_services (NULL, NULL);
  g_assert_cmpuint (list->len, ==, 1);
  /* They have owners, though. */
  names = io_service_list_names (NULL);
  g_assert_cmpuint (g_strv_length (names), ==, 12);
  peer_finish (peer);
  watch_expect (&watch, "terminated good\n");
  watch_clear (&watch);
  sweep ();
}

/* Nothing here is a name, and nothing here can hold us up. */
static void
test_no_lock_files (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (GBytes) good = new_bytes_of ("(['IOService'], {'a': <1>})");
  g_autofree char *fifo = g_build_filename (fixture->directory, "fifo.lock", NULL);
  g_autofree char *folder = g_build_filename (fixture->directory, "folder.lock", NULL);
  g_autofree char *link = g_build_filename (fixture->directory, "link.lock", NULL);
  g_autofree char *loop = g_build_filename (fixture->directory, "loop.lock", NULL);
  g_autofree char *stale = g_build_filename (fixture->directory, "stale.lock", NULL);
  g_autofree char *hidden = g_build_filename (fixture->directory, ".hidden.lock", NULL);
  g_autofree char *real = g_build_filename (fixture->directory, "real.lock", NULL);
  IOService *service = io_service_new ("real");
  Watch watch;

  watch_init (&watch, NULL);
  watch_expect (&watch, "");
  g_assert_true (io_service_register (service, NULL));
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_cmpint (symlink (real, link), ==, 0);
  g_assert_cmpint (symlink (loop, loop), ==, 0);
  g_assert_true (g_file_set_contents (stale, g_bytes_get_data (good, NULL),
                                      g_bytes_get_size (good), NULL));
  g_assert_true (g_file_set_contents (hidden, "x", 1, NULL));
  watch_expect (&watch, "published real\nmatched real\n");
  /* To look at the link did not cost us the lock. */
  if (fork () == 0)
    _exit (_io_names_claim ("real", g_main_context_default (), NULL) == NULL ? 0 : 1);
  else
    {
      int status;

      g_assert_cmpint (wait (&status), >, 0);
      g_assert_cmpint (status, ==, 0);
    }

  finish (service);
  watch_expect (&watch, "terminated real\n");
  watch_clear (&watch);
  sweep ();
}

/* A record that is being written keeps what was known. */
static void
test_torn (Fixture       *fixture,
           gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  g_autofree char *path = g_build_filename (fixture->directory, "one.lock", NULL);
  g_autofree char *contents = NULL;
  gsize length;
  Watch watch;
  int fd;

  watch_init (&watch, NULL);
  owner_do (peer, "register one");
  watch_expect (&watch, "published one\nmatched one\n");
  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  fd = open (path, O_WRONLY);
  g_assert_cmpint (pwrite (fd, "x", 1, 20), ==, 1);
  watch_expect (&watch, "");
  g_assert_cmpint (pwrite (fd, contents, length, 0), ==, (gssize) length);
  close (fd);
  watch_expect (&watch, "");
  owner_do (peer, "set one a 1");
  watch_expect (&watch, "changed one\n");
  peer_finish (peer);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

/* From the first moment of the end on, nobody is sent to the service. */
static void
unpublished_cb (GObject    *object,
                GParamSpec *pspec,
                gpointer    user_data)
{
  g_autoptr (GPtrArray) list = io_registry_list_services (NULL, NULL);

  g_assert_cmpuint (list->len, ==, 0);
  ++*(guint *) user_data;
}

static void
test_unpublished (Fixture       *fixture,
                  gconstpointer  data)
{
  IOService *service = new_registered ("one");
  guint n = 0;

  g_signal_connect (service, "notify::inactive", G_CALLBACK (unpublished_cb), &n);
  finish (service);
  g_assert_cmpuint (n, ==, 1);
}

static void
test_claim (Fixture       *fixture,
            gconstpointer  data)
{
  IONameClaim *claim = _io_names_claim ("one", g_main_context_default (), NULL);
  g_autoptr (GVariant) attributes = g_variant_ref_sink (g_variant_new_parsed ("{'a': <1>}"));
  g_autoptr (IORecord) record = NULL;
  g_autoptr (IORecord) again = NULL;
  g_autofree char *path = g_build_filename (fixture->directory, "one.lock", NULL);
  g_autofree char *contents = NULL;
  gsize length;

  g_assert_cmpint (_io_names_look (fixture->directory, "one", &record), ==, IO_NAME_GONE);
  _io_names_unpublish (claim);
  g_assert_true (_io_names_publish (claim, g_strsplit ("IOService", " ", -1), attributes, FALSE, NULL));
  g_assert_cmpint (_io_names_look (fixture->directory, "one", &record), ==, IO_NAME_PUBLISHED);
  g_assert_cmpint (record->pid, ==, getpid ());
  g_assert_cmpuint (record->registrations, ==, 1);
  g_assert_true (_io_names_publish (claim, g_strsplit ("IOService", " ", -1), attributes, TRUE, NULL));
  g_assert_cmpint (_io_names_look (fixture->directory, "one", &again), ==, IO_NAME_PUBLISHED);
  g_assert_cmpuint (again->registrations, ==, 2);
  g_assert_cmpuint (again->id, ==, record->id);
  g_assert_cmpint (again->time, >=, record->time);
  _io_names_unpublish (claim);
  g_assert_cmpint (_io_names_look (fixture->directory, "one", &(IORecord *) { NULL }), ==, IO_NAME_GONE);
  g_assert_cmpint (_io_names_look (fixture->directory, "two", &(IORecord *) { NULL }), ==, IO_NAME_GONE);
  _io_names_release (claim);
  g_assert_false (g_file_get_contents (path, &contents, &length, NULL));
}

/* No room for the attributes is no reason to be unknown. */
static void
test_no_room (Fixture       *fixture,
              gconstpointer  data)
{
  Peer *peer = peer_spawn (-1, -1, "no-room", NULL);
  g_autoptr (GVariant) attributes = NULL;
  Watch watch;

  peer_expect (peer, "here");
  watch_init (&watch, NULL);
  watch_expect (&watch, "published one\nmatched one\n");
  attributes = io_registry_entry_copy_attributes (io_registry_lookup_name (watch.registry, "one"));
  g_assert_cmpuint (g_variant_n_children (attributes), ==, 0);
  peer_finish (peer);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

static int
run_no_room (void)
{
  g_autofree char *text = g_strnfill (10000, 'x');
  g_autofree char *order = NULL;
  struct rlimit limit = { 200, 200 };
  IOService *service = io_service_new ("one");
  IOService *other = io_service_new ("two");

  signal (SIGXFSZ, SIG_IGN);
  io_service_set_attribute (service, "text", g_variant_new_string (text));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_true (io_service_register (service, NULL));

  limit.rlim_cur = limit.rlim_max = 20;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_false (io_service_register (other, NULL));
  g_object_unref (other);

  peer_say ("here");
  order = peer_take_order ();
  finish (service);
  return 0;
}

static const struct {
  const char *matching;
  gboolean    expected;
} cases[] = {
  { "@a{sv} {}", TRUE },
  { "{'IOLocationMatch': <'x'>, 'unknown': <1>}", TRUE },
  { "{'IOProviderClass': <'IOCamera'>}", TRUE },
  { "{'IOProviderClass': <'IOStream'>}", TRUE },
  { "{'IOProviderClass': <'IOService'>}", TRUE },
  { "{'IOProviderClass': <'IO'>}", FALSE },
  { "{'IOProviderClass': <'IOConnection'>}", FALSE },
  { "{'IOProviderClass': <<'IOCamera'>>}", TRUE },
  { "{'IONameMatch': <'door'>}", TRUE },
  { "{'IONameMatch': <'d*'>}", TRUE },
  { "{'IONameMatch': <'doo?'>}", TRUE },
  { "{'IONameMatch': <'doo'>}", FALSE },
  { "{'IONameMatch': <['a', 'door']>}", TRUE },
  { "{'IONameMatch': <['a', 'b']>}", FALSE },
  { "{'IONameMatch': <@as []>}", FALSE },
  { "{'IOPropertyMatch': <@a{sv} {}>}", TRUE },
  { "{'IOPropertyMatch': <{'size': <1000>}>}", TRUE },
  { "{'IOPropertyMatch': <{'size': <uint16 1000>}>}", TRUE },
  { "{'IOPropertyMatch': <{'size': <int64 1000>}>}", TRUE },
  { "{'IOPropertyMatch': <{'size': <1001>}>}", FALSE },
  { "{'IOPropertyMatch': <{'size': <'1000'>}>}", FALSE },
  { "{'IOPropertyMatch': <{'size': <1000.0>}>}", FALSE },
  { "{'IOPropertyMatch': <{'below': <int64 -1>}>}", TRUE },
  { "{'IOPropertyMatch': <{'below': <uint64 18446744073709551615>}>}", FALSE },
  { "{'IOPropertyMatch': <{'below': <byte 0xff>}>}", FALSE },
  { "{'IOPropertyMatch': <{'most': <uint64 18446744073709551615>}>}", TRUE },
  { "{'IOPropertyMatch': <{'most': <-1>}>}", FALSE },
  { "{'IOPropertyMatch': <{'size': <1000>, 'place': <'door'>}>}", TRUE },
  { "{'IOPropertyMatch': <{'size': <1000>, 'place': <'roof'>}>}", FALSE },
  { "{'IOPropertyMatch': <{'missing': <1>}>}", FALSE },
  { "{'IOPropertyMatch': <{'deep': <{'x': <{'y': <1>}>}>}>}", TRUE },
  { "{'IOPropertyMatch': <{'deep': <{'x': <@a{sv} {}>}>}>}", TRUE },
  { "{'IOPropertyMatch': <{'deep': <{'x': <{'y': <2>}>}>}>}", FALSE },
  { "{'IOPropertyMatch': <{'deep': <{'x': <{'q': <1>}>}>}>}", FALSE },
  { "{'IOPropertyMatch': <{'deep': <1>}>}", FALSE },
  { "{'IOPropertyMatch': <{'list': <[1, 2]>}>}", TRUE },
  { "{'IOPropertyMatch': <{'list': <[1]>}>}", FALSE },
  { "{'IOPropertyMatch': <[{'place': <'roof'>}, {'place': <'door'>}]>}", TRUE },
  { "{'IOPropertyMatch': <[<{'place': <'roof'>}>, <{'place': <'door'>}>]>}", TRUE },
  { "{'IOPropertyMatch': <[{'place': <'roof'>}, {'place': <'cellar'>}]>}", FALSE },
  { "{'IOPropertyMatch': <@aa{sv} []>}", FALSE },
  { "{'IOPropertyExistsMatch': <'size'>}", TRUE },
  { "{'IOPropertyExistsMatch': <'missing'>}", FALSE },
  { "{'IOPropertyExistsMatch': <['size', 'place']>}", TRUE },
  { "{'IOPropertyExistsMatch': <['size', 'missing']>}", FALSE },
  { "{'IOPropertyExistsMatch': <@as []>}", TRUE },
  { "{'IORegistryEntryID': <uint64 0xfedcba9876543210>}", TRUE },
  { "{'IORegistryEntryID': <uint64 1>}", FALSE },
  { "{'IORegistryEntryID': <-1>}", FALSE },
  { "{'IOProviderClass': <'IOStream'>, 'IONameMatch': <'door'>, 'IOPropertyMatch': <{'size': <1000>}>}", TRUE },
  { "{'IOProviderClass': <'IOStream'>, 'IONameMatch': <'roof'>, 'IOPropertyMatch': <{'size': <1000>}>}", FALSE },
};

static void
test_matching (void)
{
  g_autoptr (IORecord) record =
    new_record ("{'size': <uint32 1000>, 'below': <-1>, 'most': <uint64 18446744073709551615>, "
                "'place': <'door'>, 'list': <[1, 2]>, "
                "'deep': <{'x': <{'y': <1>, 'z': <2>}>, 'w': <3>}>}");
  g_autoptr (IORegistryEntry) entry = _io_registry_entry_new ("door", record);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GVariant) matching = g_variant_ref_sink (g_variant_new_parsed (cases[i].matching));
      g_autoptr (GError) error = NULL;

      g_assert_true (io_matching_check (matching, &error));
      g_assert_no_error (error);
      if (io_registry_entry_matches (entry, matching) != cases[i].expected)
        g_error ("%s", cases[i].matching);
    }
}

static void
test_matching_new (void)
{
  g_autoptr (IORecord) record = new_record ("{'size': <uint32 1000>}");
  g_autoptr (IORegistryEntry) entry = _io_registry_entry_new ("door", record);
  GVariant *good[] = {
    io_matching_new_for_class ("IOStream"),
    io_matching_new_for_name ("door"),
    io_matching_new_for_property ("size", g_variant_new_int16 (1000)),
    io_matching_new_for_entry_id (io_registry_entry_get_id (entry)),
  };
  GVariant *bad[] = {
    io_matching_new_for_class ("IOConnection"),
    io_matching_new_for_name ("roof"),
    io_matching_new_for_property ("size", g_variant_new_boolean (TRUE)),
    io_matching_new_for_entry_id (1),
    g_variant_new_string ("no dictionary"),
  };

  g_assert_true (io_matching_check (NULL, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GVariant) matching = g_variant_ref_sink (good[i]);

      g_assert_true (io_registry_entry_matches (entry, matching));
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GVariant) matching = g_variant_ref_sink (bad[i]);

      g_assert_false (io_registry_entry_matches (entry, matching));
    }
}

/* As deep as a GVariant goes. */
static void
test_matching_depth (void)
{
  GVariant *value = g_variant_new_int32 (1);
  g_autoptr (GVariant) matching = NULL;
  g_autoptr (IORecord) record = NULL;
  g_autoptr (IORegistryEntry) entry = NULL;

  for (guint i = 0; i < 20; i++)
    {
      GVariantDict dict;

      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert_value (&dict, "a", value);
      value = g_variant_dict_end (&dict);
    }
  record = _io_record_new (g_strsplit ("IOService", " ", -1), value);
  entry = _io_registry_entry_new ("x", record);
  matching = g_variant_ref_sink (g_variant_new_parsed ("{'IOPropertyMatch': <%@a{sv}>}",
                                                       record->attributes));
  g_assert_true (io_registry_entry_matches (entry, matching));
}

int
main (int   argc,
      char *argv[])
{
  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      if (g_str_equal (argv[2], "hostile"))
        return run_hostile ();
      return g_str_equal (argv[2], "no-room") ? run_no_room () : owner_run ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/record/round-trip", test_round_trip);
  g_test_add_func ("/record/too-large", test_too_large);
  g_test_add_func ("/record/damaged", test_damaged);
  g_test_add_func ("/record/hostile", test_hostile);
  g_test_add_func ("/record/random", test_random);
  ADD ("/record/hostile-owner", test_hostile_owner);
  ADD ("/record/no-lock-files", test_no_lock_files);
  ADD ("/record/torn", test_torn);
  ADD ("/record/unpublished", test_unpublished);
  ADD ("/record/claim", test_claim);
  ADD ("/record/no-room", test_no_room);
  g_test_add_func ("/record/matching", test_matching);
  g_test_add_func ("/record/matching/new", test_matching_new);
  g_test_add_func ("/record/matching/depth", test_matching_depth);

  return g_test_run ();
}
