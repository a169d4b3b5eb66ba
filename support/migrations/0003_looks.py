from django.db import migrations

FUNCTIONS = """
-- A staff member looks as one of an opened organization's people; its row in the log names the look, and is its start.
CREATE FUNCTION tenancy.begin_look(organization uuid, person uuid, reason text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF organization IS NULL OR NOT organization = ANY (tenancy.opened_organizations()) THEN
        RAISE EXCEPTION 'access to the organization is not open' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT tenancy.says_something(reason) THEN
        RAISE EXCEPTION 'a look needs a reason' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (
        SELECT FROM public.accounts_user u
        WHERE u.id = person AND u.organization_id = organization AND u.deactivated_at IS NULL
    ) THEN
        RAISE EXCEPTION 'there is no such person' USING ERRCODE = 'no_data_found';
    END IF;
    RETURN tenancy.write_support_audit('begin_look', organization, reason, person::text, '{}');
END
$$;

-- Whether a look at the organization in force still lasts: PostgreSQL is asked at each of its requests.
CREATE FUNCTION tenancy.look_lasts(look uuid, person uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM public.tenancy_supportaudit a
        JOIN public.tenancy_organization o ON o.id = a.organization_id AND o.support_allowed
        JOIN public.accounts_user s ON s.id = a.staff_id AND s.is_staff AND s.deactivated_at IS NULL
        WHERE a.id = look AND a.action = 'begin_look' AND a.organization_id = (SELECT tenancy.current_org())
            AND a.target = person::text AND a.at > now() - interval '60 minutes'
            AND a.at > coalesce(o.support_closed_at, '-infinity')
            AND NOT EXISTS (
                SELECT FROM public.tenancy_supportaudit e
                WHERE e.organization_id = a.organization_id AND e.at >= a.at
                    AND e.action = 'end_look' AND e.details->>'look' = a.id::text
            )
    )
$$;

-- The one row that the application may write into the log: that a look has ended, in the name of who looked.
CREATE FUNCTION tenancy.end_look(look uuid, cause text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO public.tenancy_supportaudit
        (id, at, staff_id, staff_email, action, organization_id, reason, target, details, transaction_number)
    SELECT gen_random_uuid(), clock_timestamp(), a.staff_id, a.staff_email, 'end_look', a.organization_id, '', a.target,
        jsonb_build_object('look', a.id, 'cause', cause), pg_current_xact_id()::text::bigint
    FROM public.tenancy_supportaudit a
    WHERE a.id = look AND a.action = 'begin_look' AND a.organization_id = (SELECT tenancy.current_org())
        AND NOT EXISTS (
            SELECT FROM public.tenancy_supportaudit e
            WHERE e.organization_id = a.organization_id AND e.at >= a.at
                AND e.action = 'end_look' AND e.details->>'look' = a.id::text
        )
$$;

REVOKE ALL ON FUNCTION tenancy.begin_look(uuid, uuid, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.look_lasts(uuid, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.end_look(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.begin_look(uuid, uuid, text) TO saas_support;
GRANT EXECUTE ON FUNCTION tenancy.look_lasts(uuid, uuid), tenancy.end_look(uuid, text) TO saas_app;
"""

NO_FUNCTIONS = """
DROP FUNCTION tenancy.end_look(uuid, text);
DROP FUNCTION tenancy.look_lasts(uuid, uuid);
DROP FUNCTION tenancy.begin_look(uuid, uuid, text);
"""


class Migration(migrations.Migration):
    dependencies = [("support", "0002_support_lookups"), ("accounts", "0005_session_of_a_look")]

    operations = [migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS)]
