from django.db import migrations

from tenancy.database_functions import create_lookup

SUPPORT_ORGANIZATION = """
INSERT INTO tenancy_organization (id, slug, name, plan, access, created_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'support', 'Support', 'free', 'full', now());
"""

# The worker walks organizations in pages; each is then entered through its own context.
ORGANIZATION_IDS = create_lookup(
    "organization_ids",
    "after uuid, page_size int",
    "SETOF uuid",
    "SELECT id FROM public.tenancy_organization WHERE id > after ORDER BY id LIMIT page_size",
    executor="saas_worker",
)
MIGRATIONS_SEEN = "GRANT SELECT ON django_migrations TO saas_app"

# Nobody but the worker reads the queue: its rows name what every organization does.
QUEUE = """
ALTER TABLE procrastinate_jobs ADD COLUMN organization_id uuid;
ALTER TABLE procrastinate_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE procrastinate_jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY queue_of_worker ON procrastinate_jobs TO saas_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE
    ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers TO saas_worker;
GRANT USAGE, SELECT ON procrastinate_jobs_id_seq, procrastinate_events_id_seq,
    procrastinate_periodic_defers_id_seq, procrastinate_workers_id_seq TO saas_worker;
DO $$
DECLARE routine regprocedure;
BEGIN
    FOR routine IN SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'procrastinate%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', routine);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO saas_worker', routine);
    END LOOP;
END $$;

CREATE FUNCTION tenancy.defer_job(
    queue text, task text, priority int, lock text, queueing_lock text, args jsonb, scheduled_at timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    organization uuid := tenancy.current_org();
    job_id bigint;
BEGIN
    IF organization IS NULL THEN
        RAISE EXCEPTION 'a job is enqueued in an organization''s context' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Libraries' own tasks have a namespace or a module in their names, and know no organization.
    IF task !~ '^[a-z][a-z0-9_]*$' THEN
        RAISE EXCEPTION 'task % is no organization''s', task USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Prefixed, so that no organization can hold another's lock or learn that it is held.
    job_id := (procrastinate_defer_jobs_v1(ARRAY[ROW(
        queue, task, priority, organization || ':' || lock, organization || ':' || queueing_lock, args, scheduled_at
    )]::procrastinate_job_to_defer_v1[]))[1];
    UPDATE procrastinate_jobs SET organization_id = organization WHERE id = job_id;
    RETURN job_id;
END
$$;
REVOKE ALL ON FUNCTION tenancy.defer_job(text, text, int, text, text, jsonb, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.defer_job(text, text, int, text, text, jsonb, timestamptz) TO saas_app;
"""

NO_QUEUE = """
DROP FUNCTION tenancy.defer_job(text, text, int, text, text, jsonb, timestamptz);
DROP POLICY queue_of_worker ON procrastinate_jobs;
ALTER TABLE procrastinate_jobs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE procrastinate_jobs DISABLE ROW LEVEL SECURITY;
ALTER TABLE procrastinate_jobs DROP COLUMN organization_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenancy", "0002_organization"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [
        migrations.RunSQL(SUPPORT_ORGANIZATION, migrations.RunSQL.noop),
        migrations.RunSQL(ORGANIZATION_IDS, "DROP FUNCTION tenancy.organization_ids(uuid, int)"),
        migrations.RunSQL(MIGRATIONS_SEEN, "REVOKE SELECT ON django_migrations FROM saas_app"),
        migrations.RunSQL(QUEUE, NO_QUEUE),
    ]
