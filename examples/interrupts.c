/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One wake-up for many events: a bank of sensors in one process, and in another
 * one who waits for all of them on one descriptor.
 *
 *   interrupts sensors     makes the sensors, until it is ended
 *   interrupts watch       watches three of them; 7 is disabled at first
 */

#include <libiostream/iostream.h>

#include <glib-unix.h>
#include <locale.h>

#define N_SENSORS 200

static gboolean
measure_cb (gpointer user_data)
{
  IOInterruptController *controller = user_data;
  static guint turn;

  /* Each of them may be due in the same turn: that costs at most one system
   * call for each client, and none if it is awake. */
  for (guint sensor = 0; sensor < N_SENSORS; sensor++)
    if (turn % (sensor + 1) == 0)
      io_interrupt_controller_cause_interrupt (controller, sensor, NULL);
  turn++;

  return G_SOURCE_CONTINUE;
}

static gboolean
quit_cb (gpointer loop)
{
  g_main_loop_quit (loop);

  return G_SOURCE_CONTINUE;
}

static gboolean
run_sensors (GError **error)
{
  g_autoptr (IOService) service = io_service_new ("sensors");
  g_autoptr (IOSharedInterruptController) controller = io_shared_interrupt_controller_new (N_SENSORS, error);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  if (controller == NULL)
    return FALSE;
  io_shared_interrupt_controller_offer (controller, service);
  if (!io_service_register (service, error))
    return FALSE;

  g_timeout_add (2, measure_cb, controller);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_print ("%u sensors\n", N_SENSORS);
  g_main_loop_run (loop);
  io_service_terminate (service);

  return TRUE;
}

static guint n_calls[N_SENSORS];

static void
sensor_cb (IOInterruptController *controller,
           guint                  sensor,
           guint                  count,
           gpointer               user_data)
{
  n_calls[sensor]++;
}

/* Waits until a sensor fired @count times. */
static gboolean
wait_for (IOSharedInterruptController  *controller,
          guint                         sensor,
          guint                         count,
          GError                      **error)
{
  while (n_calls[sensor] < count)
    {
      if (!io_shared_interrupt_controller_wait (controller, 10 * G_USEC_PER_SEC, NULL, error))
        return FALSE;
      io_interrupt_controller_handle_interrupts (IO_INTERRUPT_CONTROLLER (controller));
    }

  return TRUE;
}

static gboolean
watch (GError **error)
{
  static const guint sensors[] = { 0, 3, 7 };
  g_autoptr (IOConnection) connection = io_connection_new_for_name ("sensors", NULL, error);
  g_autoptr (IOSharedInterruptController) controller = NULL;
  IOInterruptController *table;

  if (connection == NULL)
    return FALSE;
  controller = io_connection_get_interrupt_controller (connection, NULL, error);
  if (controller == NULL)
    return FALSE;

  table = IO_INTERRUPT_CONTROLLER (controller);
  for (guint i = 0; i < G_N_ELEMENTS (sensors); i++)
    if (!io_interrupt_controller_register_interrupt (table, sensors[i], sensor_cb, NULL, NULL, error))
      return FALSE;

  /* 7 stays as it is registered, disabled: that is no matter of the others. */
  if (!io_interrupt_controller_enable_interrupt (table, 0, error) ||
      !io_interrupt_controller_enable_interrupt (table, 3, error) ||
      !wait_for (controller, 3, 5, error))
    return FALSE;
  g_print ("sensor 0 %s sensor 3; sensor 7 is %s, handled %u times\n",
           n_calls[0] >= n_calls[3] ? "came more often than" : "is slower than",
           io_interrupt_controller_is_interrupt_pending (table, 7) ? "pending" : "silent", n_calls[7]);

  if (!io_interrupt_controller_enable_interrupt (table, 7, error) || !wait_for (controller, 7, 1, error))
    return FALSE;
  g_print ("sensor 7 is enabled, and was handled\n");

  return TRUE;
}

int
main (int   argc,
      char *argv[])
{
  g_autoptr (GError) error = NULL;
  gboolean done;

  setlocale (LC_ALL, "");
  if (argc == 2 && g_str_equal (argv[1], "sensors"))
    done = run_sensors (&error);
  else if (argc == 2 && g_str_equal (argv[1], "watch"))
    done = watch (&error);
  else
    {
      g_printerr ("Usage: %s sensors|watch\n", argv[0]);
      return 2;
    }

  if (!done)
    g_printerr ("%s: %s\n", argv[0], error->message);

  return done ? 0 : 1;
}
