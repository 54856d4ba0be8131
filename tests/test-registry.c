/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "libiostream/io-names-watch-private.h"

#include "registry-util.h"

static void
test_empty (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *directory = g_build_filename (fixture->directory, "a", "b", NULL);
  g_autofree char *parent = g_path_get_dirname (directory);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) services = NULL;
  g_autoptr (GVariant) matching = NULL;
  Watch watch;

  g_setenv ("IOSTREAM_RUNTIME_DIR", directory, TRUE);
  services = io_registry_list_services (NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (services->len, ==, 0);
  g_assert_false (g_file_test (directory, G_FILE_TEST_EXISTS));

  watch_init (&watch, NULL);
  watch_expect (&watch, "");
  g_assert_null (io_registry_get_matching (watch.registry));
  g_object_get (watch.registry, "matching", &matching, NULL);
  g_assert_null (matching);
  g_assert_true (g_list_model_get_item_type (G_LIST_MODEL (watch.registry)) == IO_TYPE_REGISTRY_ENTRY);
  watch_clear (&watch);
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  g_assert_cmpint (g_rmdir (parent), ==, 0);
}

/* Those that exist come in the first turn, in the order of their registration,
 * and before what happens after. */
static void
test_existing (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *c = new_registered ("c");
  IOService *a = new_registered ("a");
  IOService *b = new_registered ("b");
  IOService *d;
  g_autoptr (GPtrArray) list = NULL;
  Watch watch;

  watch_init (&watch, NULL);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (watch.registry)), ==, 3);
  g_assert_cmpstr (watch.log->str, ==, "");
  finish (a);
  d = io_service_new ("d");
  g_assert_true (io_service_register (d, NULL));
  watch_expect (&watch, "published c\nmatched c\npublished a\nmatched a\npublished b\nmatched b\n"
                "terminated a\npublished d\nmatched d\n");

  list = io_registry_list_services (NULL, NULL);
  g_assert_cmpuint (list->len, ==, 3);
  g_assert_cmpstr (io_registry_entry_get_name (g_ptr_array_index (list, 0)), ==, "c");
  g_assert_cmpstr (io_registry_entry_get_name (g_ptr_array_index (list, 2)), ==, "d");

  finish (c);
  finish (b);
  finish (d);
  watch_expect (&watch, "terminated c\nterminated b\nterminated d\n");
  watch_clear (&watch);
}

static void
test_hot_plug (Fixture       *fixture,
               gconstpointer  data)
{
  IOService *service;
  IORegistryEntry *entry;
  guint64 id;
  Watch watch;

  watch_init (&watch, NULL);
  service = new_registered ("one");
  watch_expect (&watch, "published one\nmatched one\n");
  entry = io_registry_lookup_name (watch.registry, "one");
  id = io_registry_entry_get_id (entry);
  g_assert_cmpint (io_registry_entry_get_pid (entry), ==, getpid ());
  g_assert_null (io_registry_lookup_name (watch.registry, "two"));

  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "published one\n");
  g_assert_true (io_registry_lookup_name (watch.registry, "one") == entry);
  g_assert_cmpuint (io_registry_entry_get_id (entry), ==, id);

  finish (service);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

/* What happens between two turns is one change, and a name that changed hands
 * is two services. */
static void
test_between_turns (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (IORegistryEntry) old = NULL;
  IOService *service;
  IOService *next;
  Watch watch;

  watch_init (&watch, NULL);
  watch_expect (&watch, "");
  service = io_service_new ("brief");
  g_assert_true (io_service_register (service, NULL));
  io_service_terminate (service);
  g_assert_finalize_object (service);
  watch_expect (&watch, "");

  service = new_registered ("one");
  watch_expect (&watch, "published one\nmatched one\n");
  old = g_object_ref (io_registry_lookup_name (watch.registry, "one"));
  io_service_terminate (service);
  g_assert_finalize_object (service);
  next = io_service_new ("one");
  g_assert_true (io_service_register (next, NULL));
  watch_expect (&watch, "terminated one\npublished one\nmatched one\n");
  g_assert_true (io_registry_entry_is_inactive (old));
  g_assert_cmpuint (io_registry_entry_get_id (old), !=,
                    io_registry_entry_get_id (io_registry_lookup_name (watch.registry, "one")));

  finish (next);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

static void
count_notify_cb (GObject    *object,
                 GParamSpec *pspec,
                 gpointer    user_data)
{
  ++*(guint *) user_data;
}

static void
test_attributes (Fixture       *fixture,
                 gconstpointer  data)
{
  IOService *service = io_service_new ("one");
  g_autoptr (GVariant) attributes = NULL;
  g_autoptr (GVariant) value = NULL;
  IORegistryEntry *entry;
  guint n_notified = 0;
  Watch watch;
  Watch all;

  io_service_set_attribute (service, "format", g_variant_new_string ("RGB"));
  watch_init (&watch, io_matching_new_for_property ("format", g_variant_new_string ("YUV")));
  watch_init (&all, NULL);
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&all, "published one\nmatched one\n");
  watch_expect (&watch, "");
  entry = io_registry_lookup_name (all.registry, "one");
  g_signal_connect (entry, "notify::attributes", G_CALLBACK (count_notify_cb), &n_notified);

  io_service_set_attribute (service, "format", g_variant_new_string ("YUV"));
  watch_expect (&all, "changed one\n");
  watch_expect (&watch, "matched one\n");

  /* Many in one turn are one change; none is none. */
  for (guint i = 0; i < 100; i++)
    io_service_set_attribute (service, "number", g_variant_new_uint32 (i));
  watch_expect (&all, "changed one\n");
  watch_expect (&watch, "changed one\n");
  g_assert_cmpuint (n_notified, ==, 2);
  value = io_registry_entry_get_attribute (entry, "number");
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, 99);
  io_service_set_attribute (service, "number", g_variant_new_uint32 (99));
  settle ();
  watch_expect (&all, "");
  /* In whatever order they are kept. */
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *key = g_strdup_printf ("key%u", i);

      io_service_set_attribute (service, key, g_variant_new_uint32 (i));
    }
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *key = g_strdup_printf ("key%u", i);

      io_service_set_attribute (service, key, NULL);
    }
  settle ();
  watch_expect (&all, "");
  g_assert_null (io_registry_entry_get_attribute (entry, "missing"));
  attributes = io_registry_entry_copy_attributes (entry);
  g_assert_cmpuint (g_variant_n_children (attributes), ==, 2);

  io_service_set_attribute (service, "format", NULL);
  watch_expect (&watch, "unmatched one\n");
  g_assert_null (io_registry_lookup_name (watch.registry, "one"));
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&all, "changed one\npublished one\n");
  watch_expect (&watch, "");

  /* Registered again and matched by that, in one turn. */
  io_service_set_attribute (service, "format", g_variant_new_string ("YUV"));
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "published one\nmatched one\n");

  finish (service);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
  watch_clear (&all);
}

/* An owner may have more than a record can hold. */
static void
test_large (Fixture       *fixture,
            gconstpointer  data)
{
  IOService *service = io_service_new ("one");
  g_autofree char *text = g_strnfill (100000, 'x');
  g_autoptr (GVariant) attributes = NULL;
  IORegistryEntry *entry;
  Watch watch;

  io_service_set_attribute (service, "text", g_variant_new_string (text));
  watch_init (&watch, NULL);
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "published one\nmatched one\n");
  entry = io_registry_lookup_name (watch.registry, "one");
  attributes = io_registry_entry_copy_attributes (entry);
  g_assert_cmpuint (g_variant_n_children (attributes), ==, 0);

  text[50000] = '\0';
  io_service_set_attribute (service, "text", g_variant_new_string (text));
  watch_expect (&watch, "changed one\n");
  g_variant_unref (attributes);
  attributes = io_registry_entry_copy_attributes (entry);
  g_assert_cmpuint (g_variant_n_children (attributes), ==, 1);

  finish (service);
  watch_clear (&watch);
}

static void
test_entry (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL;
  g_autofree char *class_name = NULL;
  g_autoptr (GVariant) attributes = NULL;
  Peer *peer = owner_spawn ();
  IORegistryEntry *entry;
  gboolean inactive;
  guint64 id;
  int pid;

  owner_do (peer, "register one stream");
  list = io_registry_list_services (io_matching_new_for_class ("IOService"), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (list->len, ==, 1);
  entry = g_ptr_array_index (list, 0);

  g_object_get (entry, "name", &name, "service-class", &class_name, "id", &id, "pid", &pid,
                "attributes", &attributes, "inactive", &inactive, NULL);
  g_assert_cmpstr (name, ==, "one");
  g_assert_cmpstr (class_name, ==, "IOStream");
  g_assert_cmpstr (io_registry_entry_get_service_class (entry), ==, "IOStream");
  g_assert_cmpuint (id, ==, io_registry_entry_get_id (entry));
  g_assert_cmpint (pid, ==, peer->pid);
  g_assert_nonnull (attributes);
  g_assert_false (inactive);
  g_assert_true (io_registry_entry_conforms_to (entry, "IOStream"));
  g_assert_true (io_registry_entry_conforms_to (entry, "IOService"));
  g_assert_false (io_registry_entry_conforms_to (entry, "GObject"));
  g_assert_true (io_registry_entry_matches (entry, NULL));

  peer_order (peer, "nothing");
  peer_kill (peer);
  g_assert_null (io_registry_entry_create_connection (entry, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
  sweep ();
}

static void
test_connection (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("test");
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  g_autoptr (IOConnection) connection = NULL;
  g_autoptr (IORegistryEntry) entry = NULL;
  g_autoptr (GError) error = NULL;
  Watch watch;

  watch_init (&watch, NULL);
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "published one\nmatched one\n");
  entry = g_object_ref (io_registry_lookup_name (watch.registry, "one"));
  connection = io_registry_entry_create_connection (entry, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (io_connection_get_service_class (connection), ==, "IOService");
  io_connection_hang_up (connection);
  g_clear_object (&connection);

  io_service_terminate (service);
  watch_expect (&watch, "terminated one\n");
  g_assert_null (io_registry_entry_create_connection (entry, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_FOUND);
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (service);
  watch_clear (&watch);
}

static void
test_processes (Fixture       *fixture,
                gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  Watch watch;

  watch_init (&watch, io_matching_new_for_class ("IOStream"));
  owner_do (peer, "register service");
  owner_do (peer, "register camera stream");
  watch_expect (&watch, "published camera\nmatched camera\n");
  owner_do (peer, "set camera place 'door'");
  watch_expect (&watch, "changed camera\n");
  owner_do (peer, "register camera");
  watch_expect (&watch, "published camera\n");
  owner_do (peer, "terminate camera");
  watch_expect (&watch, "terminated camera\n");
  owner_do (peer, "register camera stream");
  watch_expect (&watch, "published camera\nmatched camera\n");
  peer_finish (peer);
  watch_expect (&watch, "terminated camera\n");
  watch_clear (&watch);
}

/* How long it takes after the end of the process. */
static void
test_kill (Fixture       *fixture,
           gconstpointer  data)
{
  const guint n_rounds = 20;
  guint n_late = 0;
  gint64 sum = 0;
  Watch watch;

  watch_init (&watch, NULL);
  for (guint i = 0; i < n_rounds; i++)
    {
      Peer *peer = owner_spawn ();
      gint64 before;

      owner_do (peer, "register one");
      watch_expect (&watch, "published one\nmatched one\n");
      before = g_get_monotonic_time ();
      peer_kill (peer);
      watch_expect (&watch, "terminated one\n");
      n_late += watch.last - before >= G_USEC_PER_SEC;
      sum += watch.last - before;
    }
  g_test_message ("from the kill to the signal: mean %" G_GINT64_FORMAT " µs, %u times late",
                  sum / n_rounds, n_late);
  /* Others may keep the machine busy now and then, not every time. */
  g_assert_cmpuint (n_late, <, n_rounds / 2);

  watch_clear (&watch);
  sweep ();
}

/* Who has the name next is another service, also if the old record is still
 * there and nobody looked meanwhile. */
static void
test_kill_and_take_over (Fixture       *fixture,
                         gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  IOService *service;
  IORegistryEntry *entry;
  Watch watch;

  watch_init (&watch, NULL);
  owner_do (peer, "register one stream");
  watch_expect (&watch, "published one\nmatched one\n");
  peer_kill (peer);
  service = io_service_new ("one");
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "terminated one\npublished one\nmatched one\n");
  entry = io_registry_lookup_name (watch.registry, "one");
  g_assert_cmpstr (io_registry_entry_get_service_class (entry), ==, "IOService");
  finish (service);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

/* A child of the owner does not keep its services. */
static void
test_child_of_owner (Fixture       *fixture,
                     gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  g_autofree char *pid = NULL;
  Watch watch;

  watch_init (&watch, NULL);
  owner_do (peer, "register one");
  peer_order (peer, "fork");
  pid = peer_read (peer);
  peer_expect (peer, "done");
  watch_expect (&watch, "published one\nmatched one\n");

  kill (peer->pid, SIGKILL);
  watch_expect (&watch, "terminated one\n");
  g_assert_cmpint (kill (atoi (pid), SIGKILL), ==, 0);
  peer_reap (peer);
  watch_clear (&watch);
  sweep ();
}

static void
test_stopped (Fixture       *fixture,
              gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  Peer *other = owner_spawn ();
  g_autoptr (GPtrArray) list = NULL;
  Watch watch;

  owner_do (peer, "register one");
  peer_freeze (peer);
  watch_init (&watch, NULL);
  watch_expect (&watch, "published one\nmatched one\n");
  owner_do (other, "register two");
  watch_expect (&watch, "published two\nmatched two\n");
  list = io_registry_list_services (NULL, NULL);
  g_assert_cmpuint (list->len, ==, 2);
  peer_thaw (peer);
  owner_do (peer, "terminate one");
  watch_expect (&watch, "terminated one\n");
  peer_finish (peer);
  peer_finish (other);
  watch_expect (&watch, "terminated two\n");
  watch_clear (&watch);
}

static guint
raise_descriptors (guint wanted)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  if (limit.rlim_cur < wanted)
    {
      limit.rlim_cur = MIN (wanted, limit.rlim_max);
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
    }

  return MIN (limit.rlim_cur, wanted);
}

static void
check_order_cb (IORegistry      *registry,
                IORegistryEntry *entry,
                gpointer         user_data)
{
  guint *next = user_data;

  g_assert_cmpint (atoi (io_registry_entry_get_name (entry) + 1), ==, (*next)++);
}

/* All at once, before the watcher has a turn; they come in order, each once. */
static void
test_many (Fixture       *fixture,
           gconstpointer  data)
{
  guint n = MIN (2500, (raise_descriptors (6000) - 200) / 2);
  g_autofree char *order = g_strdup_printf ("many s %u", n);
  Peer *peer = owner_spawn ();
  g_autoptr (GPtrArray) list = NULL;
  guint next = 0;
  gint64 begin;
  Watch late;
  Watch watch;

  watch_init (&watch, NULL);
  g_signal_connect (watch.registry, "matched", G_CALLBACK (check_order_cb), &next);
  watch_expect (&watch, "");
  owner_do (peer, order);
  begin = g_get_monotonic_time ();
  while (watch.n_matched < n)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("%u services told in %" G_GINT64_FORMAT " µs", n, g_get_monotonic_time () - begin);
  settle ();
  g_assert_cmpuint (watch.n_matched, ==, n);
  watch_check_model (&watch);

  next = 0;
  watch_init (&late, NULL);
  g_signal_connect (late.registry, "matched", G_CALLBACK (check_order_cb), &next);
  settle ();
  g_assert_cmpuint (late.n_matched, ==, n);
  begin = g_get_monotonic_time ();
  list = io_registry_list_services (NULL, NULL);
  g_test_message ("and listed in %" G_GINT64_FORMAT " µs", g_get_monotonic_time () - begin);
  g_assert_cmpuint (list->len, ==, n);

  begin = g_get_monotonic_time ();
  peer_kill (peer);
  while (watch.n_terminated < n || late.n_terminated < n)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("and gone, twice, in %" G_GINT64_FORMAT " µs", g_get_monotonic_time () - begin);
  settle ();
  g_assert_cmpuint (watch.n_terminated, ==, n);
  watch_clear (&watch);
  watch_clear (&late);
  sweep ();
}

/* More happens than the kernel remembers. */
static void
test_overflow (Fixture       *fixture,
               gconstpointer  data)
{
  g_autofree char *a = g_build_filename (fixture->directory, "a.lock", NULL);
  g_autofree char *b = g_build_filename (fixture->directory, "b.lock", NULL);
  g_autofree char *text = NULL;
  IOService *one = new_registered ("one");
  IOService *two;
  guint n = 40000;
  Watch watch;

  if (g_file_get_contents ("/proc/sys/fs/inotify/max_queued_events", &text, NULL, NULL))
    n = 2 * atoi (text) + 1000;
  watch_init (&watch, NULL);
  watch_expect (&watch, "published one\nmatched one\n");

  for (guint i = 0; i < n / 4; i++)
    {
      close (open (a, O_WRONLY | O_CREAT, 0600));
      close (open (b, O_WRONLY | O_CREAT, 0600));
    }
  g_remove (a);
  g_remove (b);
  io_service_terminate (one);
  g_assert_finalize_object (one);
  two = io_service_new ("two");
  g_assert_true (io_service_register (two, NULL));
  watch_expect (&watch, "terminated one\npublished two\nmatched two\n");
  finish (two);
  watch_expect (&watch, "terminated two\n");
  watch_clear (&watch);
}

/* The directory and the descriptors are looked at by the fixture. */
static void
test_churn (Fixture       *fixture,
            gconstpointer  data)
{
  guint n = g_getenv ("IOSTREAM_TEST_VALGRIND") != NULL ? 500 : 10000;
  G_GNUC_UNUSED guint64 before = 0;
  Watch watch;

  watch_init (&watch, NULL);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", i % 100);
      IOService *service = io_service_new (name);

      g_assert_true (io_service_register (service, NULL));
      if (i % 2 == 0)
        settle ();
      io_service_terminate (service);
      g_assert_finalize_object (service);
      if (i % 3 == 0)
        settle ();
      g_string_truncate (watch.log, 0);
      if (i == n / 10)
        before = resident_bytes ();
    }
  settle ();
  g_assert_cmpuint (watch.n_matched, ==, watch.n_terminated);
  g_assert_cmpuint (watch.n_matched, >=, n / 2);
#ifndef __SANITIZE_ADDRESS__
  if (n == 10000)
    g_assert_cmpuint (resident_bytes (), <, before + (4 << 20));
#endif
  g_string_truncate (watch.log, 0);
  watch_expect (&watch, "");
  watch_clear (&watch);
}

static void
test_directory_goes (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autofree char *directory = g_build_filename (fixture->directory, "d", NULL);
  g_autofree char *aside = g_build_filename (fixture->directory, "e", NULL);
  IOService *service;
  Watch watch;

  g_setenv ("IOSTREAM_RUNTIME_DIR", directory, TRUE);
  watch_init (&watch, NULL);
  watch_expect (&watch, "");
  for (guint i = 0; i < 3; i++)
    {
      service = new_registered ("one");
      watch_expect (&watch, "published one\nmatched one\n");
      sweep ();
      g_assert_cmpint (g_rmdir (directory), ==, 0);
      watch_expect (&watch, "terminated one\n");
      finish (service);
    }

  /* Whoever moves it away, moves the services away. */
  service = new_registered ("one");
  watch_expect (&watch, "published one\nmatched one\n");
  g_assert_cmpint (g_rename (directory, aside), ==, 0);
  watch_expect (&watch, "terminated one\n");
  finish (service);
  service = new_registered ("one");
  watch_expect (&watch, "published one\nmatched one\n");
  finish (service);
  watch_clear (&watch);

  g_assert_cmpint (g_rmdir (directory), ==, 0);
  g_setenv ("IOSTREAM_RUNTIME_DIR", aside, TRUE);
  sweep ();
  g_assert_cmpint (g_rmdir (aside), ==, 0);
}

static void
test_forbidden (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (IORegistry) broken = NULL;

  g_assert_cmpint (g_chmod (fixture->directory, 0777), ==, 0);
  g_assert_null (io_registry_new (NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  g_clear_error (&error);
  broken = g_object_new (IO_TYPE_REGISTRY, NULL);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (broken)), ==, 0);
  g_assert_false (g_initable_init (G_INITABLE (broken), NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_NOT_PERMITTED);
  settle ();
  g_assert_cmpint (g_chmod (fixture->directory, 0700), ==, 0);
}

static void
test_without_inotify (Fixture       *fixture,
                      gconstpointer  data)
{
  Peer *peer = owner_spawn ();
  Watch watch;

  _io_names_watch_without_inotify = TRUE;
  watch_init (&watch, NULL);
  _io_names_watch_without_inotify = FALSE;
  watch_expect (&watch, "");
  owner_do (peer, "register one");
  watch_expect (&watch, "published one\nmatched one\n");
  peer_kill (peer);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
  sweep ();
}

static void
test_forked_registry (Fixture       *fixture,
                      gconstpointer  data)
{
  IOService *one = new_registered ("one");
  IOService *two;
  Watch watch;
  int status;
  pid_t pid;

  watch_init (&watch, NULL);
  watch_expect (&watch, "published one\nmatched one\n");
  two = io_service_new ("two");
  g_assert_true (io_service_register (two, NULL));
  pid = fork ();
  if (pid == 0)
    {
      GPtrArray *services = io_registry_get_services (watch.registry);

      settle ();
      _exit (services->len == 0 && watch.log->len == 0 &&
             io_registry_lookup_name (watch.registry, "one") == NULL &&
             g_list_model_get_n_items (G_LIST_MODEL (watch.registry)) == 0 ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  watch_expect (&watch, "published two\nmatched two\n");
  finish (one);
  finish (two);
  watch_clear (&watch);
}

static void
drop_cb (IORegistry      *registry,
         IORegistryEntry *entry,
         gpointer         user_data)
{
  IORegistry **kept = user_data;

  g_clear_object (kept);
}

static void
test_drop_in_handler (Fixture       *fixture,
                      gconstpointer  data)
{
  IOService *one = new_registered ("one");
  IOService *two = new_registered ("two");
  IORegistry *registry = io_registry_new (NULL, NULL);

  g_object_add_weak_pointer (G_OBJECT (registry), (gpointer *) &registry);
  g_signal_connect (registry, "matched", G_CALLBACK (drop_cb), &registry);
  while (registry != NULL)
    g_main_context_iteration (NULL, TRUE);
  finish (one);
  finish (two);
}

static gboolean
register_cb (gpointer user_data)
{
  g_assert_true (io_service_register (user_data, NULL));
  return G_SOURCE_REMOVE;
}

static void
test_wait (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("test");
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (IORegistryEntry) entry = NULL;
  g_autoptr (IORegistryEntry) again = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (io_registry_wait_for_service (NULL, 0, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_assert_null (io_registry_wait_for_service (NULL, 1000, NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_assert_null (io_registry_wait_for_service (g_variant_new_parsed ("{'IONameMatch': <1>}"), -1,
                                               NULL, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
  g_clear_error (&error);

  /* It comes from another thread while this one sleeps, or before. */
  g_main_context_invoke (io_work_loop_get_context (loop), register_cb, service);
  entry = io_registry_wait_for_service (io_matching_new_for_name ("one"), -1, cancellable, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (io_registry_entry_get_name (entry), ==, "one");
  again = io_registry_wait_for_service (io_matching_new_for_name ("one"), 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (io_registry_entry_get_id (again), ==, io_registry_entry_get_id (entry));

  g_cancellable_cancel (cancellable);
  g_assert_null (io_registry_wait_for_service (NULL, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  io_service_terminate (service);
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (service);
}

static void
waited_cb (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  GAsyncResult **kept = user_data;

  g_assert_null (source);
  *kept = g_object_ref (result);
}

static void
test_wait_async (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) came = NULL;
  g_autoptr (GAsyncResult) cancelled = NULL;
  g_autoptr (GAsyncResult) late = NULL;
  g_autoptr (IORegistryEntry) entry = NULL;
  g_autoptr (GError) error = NULL;
  IOService *service = io_service_new ("one");

  io_registry_wait_for_service_async (io_matching_new_for_class ("IOService"), G_MAXINT64, cancellable,
                                      waited_cb, &came);
  io_registry_wait_for_service_async (io_matching_new_for_class ("IOStream"), -1, cancellable,
                                      waited_cb, &cancelled);
  io_registry_wait_for_service_async (io_matching_new_for_class ("IOStream"), 20000, cancellable,
                                      waited_cb, &late);
  settle ();
  g_assert_null (came);
  g_assert_true (io_service_register (service, NULL));
  while (came == NULL)
    g_main_context_iteration (NULL, TRUE);
  entry = io_registry_wait_for_service_finish (came, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (io_registry_entry_get_name (entry), ==, "one");

  while (late == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (io_registry_wait_for_service_finish (late, &error));
  g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_TIMEOUT);
  g_clear_error (&error);

  g_assert_null (cancelled);
  g_cancellable_cancel (cancellable);
  while (cancelled == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (io_registry_wait_for_service_finish (cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  finish (service);
}

static gpointer
set_attributes_thread (gpointer user_data)
{
  for (guint i = 0; i < 500; i++)
    io_service_set_attribute (user_data, "number", g_variant_new_uint32 (i));

  return NULL;
}

static void
test_threads (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (IOWorkLoop) loop = io_work_loop_new ("test");
  IOService *service = g_object_new (IO_TYPE_SERVICE, "name", "one", "work-loop", loop, NULL);
  g_autoptr (GVariant) value = NULL;
  GThread *threads[4];
  IORegistryEntry *entry;
  Watch watch;

  watch_init (&watch, NULL);
  g_assert_true (io_service_register (service, NULL));
  watch_expect (&watch, "published one\nmatched one\n");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("setter", set_attributes_thread, service);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  entry = io_registry_lookup_name (watch.registry, "one");
  while (value == NULL || g_variant_get_uint32 (value) != 499)
    {
      g_main_context_iteration (NULL, TRUE);
      g_clear_pointer (&value, g_variant_unref);
      value = io_registry_entry_get_attribute (entry, "number");
    }

  /* A change at the very end goes with it. */
  threads[0] = g_thread_new ("setter", set_attributes_thread, service);
  io_service_terminate (service);
  g_thread_join (threads[0]);
  while (watch.n_terminated == 0)
    g_main_context_iteration (NULL, TRUE);
  io_work_loop_shut_down (loop);
  g_assert_finalize_object (service);
  watch_clear (&watch);
}

static void
test_bad_matching (Fixture       *fixture,
                   gconstpointer  data)
{
  static const char * const bad[] = {
    "'text'", "{1: <2>}", "{'IOProviderClass': <1>}", "{'IOProviderClass': <['IOService']>}",
    "{'IONameMatch': <1>}", "{'IONameMatch': <[1]>}", "{'IOPropertyMatch': <'x'>}",
    "{'IOPropertyMatch': <[<'x'>]>}", "{'IOPropertyExistsMatch': <true>}",
    "{'IORegistryEntryID': <'1'>}",
  };
  IOService *service = new_registered ("one");
  Watch watch;

  watch_init (&watch, g_variant_new_parsed ("{'IOLocationMatch': <1>, 'x': <'y'>}"));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GVariant) matching = g_variant_ref_sink (g_variant_new_parsed (bad[i]));
      g_autoptr (GError) error = NULL;

      g_assert_false (io_matching_check (matching, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_clear_error (&error);
      g_assert_null (io_registry_new (matching, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
      g_clear_error (&error);
      g_assert_null (io_registry_list_services (matching, &error));
      g_assert_error (error, IO_STREAM_ERROR, IO_STREAM_ERROR_BAD_ARGUMENT);
    }
  watch_expect (&watch, "published one\nmatched one\n");
  finish (service);
  watch_expect (&watch, "terminated one\n");
  watch_clear (&watch);
}

int
main (int   argc,
      char *argv[])
{
  if (argc > 2 && strcmp (argv[1], "--peer") == 0)
    {
      peer_begin ();
      return owner_run ();
    }

  *peer_program () = argv[0];
  g_test_init (&argc, &argv, NULL);

  /* That makes a thread, which keeps a descriptor. */
  g_type_ensure (G_TYPE_TASK);

  ADD ("/registry/empty", test_empty);
  ADD ("/registry/existing", test_existing);
  ADD ("/registry/hot-plug", test_hot_plug);
  ADD ("/registry/between-turns", test_between_turns);
  ADD ("/registry/attributes", test_attributes);
  ADD ("/registry/large", test_large);
  ADD ("/registry/entry", test_entry);
  ADD ("/registry/connection", test_connection);
  ADD ("/registry/processes", test_processes);
  ADD ("/registry/kill", test_kill);
  ADD ("/registry/kill-and-take-over", test_kill_and_take_over);
  ADD ("/registry/child-of-owner", test_child_of_owner);
  ADD ("/registry/stopped", test_stopped);
  ADD ("/registry/many", test_many);
  ADD ("/registry/overflow", test_overflow);
  ADD ("/registry/churn", test_churn);
  ADD ("/registry/directory-goes", test_directory_goes);
  ADD ("/registry/forbidden", test_forbidden);
  ADD ("/registry/without-inotify", test_without_inotify);
  ADD ("/registry/forked-registry", test_forked_registry);
  ADD ("/registry/drop-in-handler", test_drop_in_handler);
  ADD ("/registry/wait", test_wait);
  ADD ("/registry/wait-async", test_wait_async);
  ADD ("/registry/threads", test_threads);
  ADD ("/registry/bad-matching", test_bad_matching);

  return g_test_run ();
}
