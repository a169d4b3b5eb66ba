from django.db import migrations

import tenancy.fence

FUNCTIONS = r"""
-- Whether a reader would see anything: spaces and what is invisible do not count.
CREATE FUNCTION tenancy.says_something(words text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(words ~ '[^[:space:][:cntrl:]\u0085\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]', false)
$$;

-- The one way into the log: names the staff member in force, and nobody else.
CREATE FUNCTION tenancy.write_support_audit(action text, organization uuid, reason text, target text, details jsonb)
RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    staff uuid := tenancy.current_staff();
    written uuid := gen_random_uuid();
BEGIN
    IF staff IS NULL THEN
        RAISE EXCEPTION 'no staff member is in force' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- A row stays for ever.
    IF length(reason) > 500 OR length(target) > 500 OR length(details::text) > 2000 THEN
        RAISE EXCEPTION 'more than 500 characters' USING ERRCODE = 'string_data_right_truncation';
    END IF;
    INSERT INTO public.tenancy_supportaudit
        (id, at, staff_id, staff_email, action, organization_id, reason, target, details, transaction_number)
    VALUES (
        written, clock_timestamp(), staff, substr(current_setting('app.current_staff'), 38),
        action, organization, btrim(reason), target, details, pg_current_xact_id()::text::bigint
    );
    RETURN written;
END
$$;

CREATE FUNCTION tenancy.opened_organizations() RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT a.organization_id), '{}')
    FROM public.tenancy_supportaudit a JOIN public.tenancy_organization o ON o.id = a.organization_id
    WHERE a.staff_id = (SELECT tenancy.current_staff()) AND a.action = 'open_access'
        AND a.at > now() - interval '60 minutes' AND o.support_allowed AND a.at > coalesce(o.support_closed_at, '-infinity')
        -- Committed: what this transaction wrote, it could still take back after the look.
        AND a.transaction_number IS DISTINCT FROM pg_current_xact_id_if_assigned()::text::bigint
$$;

CREATE FUNCTION tenancy.open_support_access(organization uuid, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_allowed boolean;
BEGIN
    IF NOT tenancy.says_something(reason) THEN
        RAISE EXCEPTION 'access needs a reason' USING ERRCODE = 'check_violation';
    END IF;
    -- Nobody looks after the staff's own organization from here.
    SELECT o.support_allowed INTO is_allowed FROM public.tenancy_organization o
        WHERE o.id = organization AND o.id <> '00000000-0000-0000-0000-000000000001';
    IF is_allowed IS NULL THEN
        RAISE EXCEPTION 'there is no such organization' USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT is_allowed THEN
        RAISE EXCEPTION 'the organization has switched support access off'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM tenancy.write_support_audit('open_access', organization, reason, '', '{}');
END
$$;

CREATE FUNCTION tenancy.defer_support_action(organization uuid, task text, arguments jsonb, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    job_id bigint;
BEGIN
    IF organization IS NULL OR NOT organization = ANY (tenancy.opened_organizations()) THEN
        RAISE EXCEPTION 'access to the organization is not open' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF task IS NULL OR NOT task = ANY (ARRAY[
        'support_deactivate_user', 'support_reactivate_user', 'support_end_sessions',
        'support_resend_verification', 'support_replay_event', 'support_resend_mail'
    ]) THEN
        RAISE EXCEPTION 'task % is not the support''s', task USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- What its task takes, and nothing else: the job would fail for days.
    IF arguments IS NULL OR ARRAY(SELECT jsonb_object_keys(arguments)) IS DISTINCT FROM ARRAY[CASE task
        WHEN 'support_replay_event' THEN 'event_id' WHEN 'support_resend_mail' THEN 'mail_id' ELSE 'user_id'
    END] THEN
        RAISE EXCEPTION 'task % takes other arguments', task USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT tenancy.says_something(reason) THEN
        RAISE EXCEPTION 'an action needs a reason' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM tenancy.write_support_audit(
        task, organization, reason,
        coalesce(arguments->>'user_id', arguments->>'event_id', arguments->>'mail_id', ''), arguments
    );
    job_id := (procrastinate_defer_jobs_v1(ARRAY[ROW(
        'default', task, 0, NULL, NULL, arguments, NULL
    )]::procrastinate_job_to_defer_v1[]))[1];
    UPDATE procrastinate_jobs SET organization_id = organization WHERE id = job_id;
    RETURN job_id;
END
$$;

REVOKE ALL ON FUNCTION tenancy.says_something(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.write_support_audit(text, uuid, text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.opened_organizations() FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.open_support_access(uuid, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.defer_support_action(uuid, text, jsonb, text) FROM PUBLIC;
-- For its search function, which writes a row too.
GRANT EXECUTE ON FUNCTION tenancy.write_support_audit(text, uuid, text, text, jsonb) TO saas_lookup;
GRANT EXECUTE ON FUNCTION tenancy.opened_organizations(), tenancy.open_support_access(uuid, text),
    tenancy.defer_support_action(uuid, text, jsonb, text) TO saas_support;
"""

NO_FUNCTIONS = """
DROP FUNCTION tenancy.defer_support_action(uuid, text, jsonb, text);
DROP FUNCTION tenancy.open_support_access(uuid, text);
DROP FUNCTION tenancy.opened_organizations();
DROP FUNCTION tenancy.write_support_audit(text, uuid, text, text, jsonb);
DROP FUNCTION tenancy.says_something(text);
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0006_supportaudit")]

    operations = [
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        migrations.AddConstraint(
            model_name='mail',
            constraint=tenancy.fence.RoleAccess(columns=('id', 'organization_id', 'user_id', 'address', 'message', 'occasion', 'message_id', 'state', 'crashes', 'error', 'created_at', 'sent_at'), command='SELECT', name='mail_seen_by_support', role='saas_support', rows='organization_id = ANY ((SELECT tenancy.opened_organizations())::uuid[])'),
        ),
        migrations.AddConstraint(
            model_name='organization',
            constraint=tenancy.fence.RoleAccess(columns=('id', 'slug', 'name', 'plan', 'access', 'seat_limit', 'support_allowed', 'created_at'), command='SELECT', name='organization_seen_by_support', role='saas_support', rows='id = ANY ((SELECT tenancy.opened_organizations())::uuid[])'),
        ),
    ]
