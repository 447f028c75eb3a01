/**
 * What no sampling can miss: triggers that note every transition the state machine forbids. They
 * belong to the superuser, so that revoked grants don't touch them.
 */
export const WATCH = [
  `CREATE TABLE chaos_breaches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE FUNCTION chaos_watch_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    IF TG_OP = 'DELETE' THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s (%s) was deleted', OLD.position, OLD.handler, OLD.status));
    ELSIF OLD.status <> 'queued' AND (NEW.status, NEW.epoch, NEW.attempts)
        IS DISTINCT FROM (OLD.status, OLD.epoch, OLD.attempts) THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s was %s (epoch %s, attempts %s) and became %s (epoch %s, attempts %s)',
        OLD.position, OLD.handler, OLD.status, OLD.epoch, OLD.attempts,
        NEW.status, NEW.epoch, NEW.attempts));
    ELSIF NEW.attempts < OLD.attempts OR NEW.epoch < OLD.epoch THEN
      INSERT INTO public.chaos_breaches (what) VALUES (format(
        'delivery %s/%s went from attempts %s, epoch %s back to attempts %s, epoch %s',
        OLD.position, OLD.handler, OLD.attempts, OLD.epoch, NEW.attempts, NEW.epoch));
    END IF;
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER chaos_watch AFTER UPDATE OR DELETE ON events_deliveries
    FOR EACH ROW EXECUTE FUNCTION chaos_watch_delivery()`,
  `CREATE FUNCTION chaos_watch_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    INSERT INTO public.chaos_breaches (what) VALUES (format('log row %s: %s', OLD.position, TG_OP));
    RETURN NULL;
  END $$`,
  `CREATE TRIGGER chaos_watch AFTER UPDATE OR DELETE ON events_log
    FOR EACH ROW EXECUTE FUNCTION chaos_watch_log()`,
];
