from django.db import migrations

FUNCTIONS = """
-- Whose session it is; a session that is over, idle or of somebody who was deactivated is nobody's.
CREATE FUNCTION tenancy.staff_session(session uuid) RETURNS TABLE (id uuid, email text)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH live AS (
        SELECT s.id AS session_id, s.last_seen_at, u.id, u.email::text
        FROM public.accounts_session s
        JOIN public.accounts_user u ON u.id = s.user_id AND u.organization_id = s.organization_id
        WHERE s.id = session AND s.organization_id = '00000000-0000-0000-0000-000000000001'
            AND s.revoked_at IS NULL AND s.expires_at > now() AND s.last_seen_at > now() - interval '30 minutes'
            AND u.is_staff AND u.deactivated_at IS NULL
    ), touched AS (
        -- Not on each request: parallel ones would wait for each other.
        UPDATE public.accounts_session s SET last_seen_at = now()
        FROM live WHERE s.id = live.session_id AND live.last_seen_at < now() - interval '1 minute'
    )
    SELECT live.id, live.email FROM live
$$;

CREATE FUNCTION tenancy.search_organizations(query text, skip integer) RETURNS TABLE (
    id uuid, slug text, name text, plan text, access text, support_allowed boolean, member text
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenancy.write_support_audit('search', NULL, '', query, jsonb_build_object('skip', skip));
    -- Who has switched support off is found, but neither by its people nor with them.
    SELECT o.id, o.slug::text, o.name::text, o.plan::text, o.access::text, o.support_allowed, (
        SELECT min(u.email::text) FROM public.accounts_user u
        WHERE u.organization_id = o.id AND o.support_allowed AND starts_with(u.email_key, lower(btrim(query)))
    )
    FROM public.tenancy_organization o
    WHERE o.id <> '00000000-0000-0000-0000-000000000001' AND length(btrim(query)) >= 3 AND (
        o.id::text = lower(btrim(query))
        OR starts_with(o.slug, lower(btrim(query)))
        OR strpos(lower(o.name), lower(btrim(query))) > 0
        OR o.support_allowed AND o.id IN (
            SELECT organization_id FROM public.accounts_user WHERE starts_with(email_key, lower(btrim(query)))
        )
        OR o.id IN (SELECT organization_id FROM public.billing_customer WHERE stripe_id = btrim(query))
        OR o.id IN (SELECT organization_id FROM public.billing_subscription WHERE stripe_id = btrim(query))
    )
    ORDER BY o.name, o.id LIMIT 50 OFFSET greatest(skip, 0)
$$;

REVOKE ALL ON FUNCTION tenancy.staff_session(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.search_organizations(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.staff_session(uuid), tenancy.search_organizations(text, integer) TO saas_support;
GRANT CREATE ON SCHEMA tenancy TO saas_lookup;
ALTER FUNCTION tenancy.staff_session(uuid) OWNER TO saas_lookup;
ALTER FUNCTION tenancy.search_organizations(text, integer) OWNER TO saas_lookup;
REVOKE CREATE ON SCHEMA tenancy FROM saas_lookup;
"""

NO_FUNCTIONS = """
DROP FUNCTION tenancy.search_organizations(text, integer);
DROP FUNCTION tenancy.staff_session(uuid);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("support", "0001_initial"),
        ("accounts", "0004_seen_by_support"),
        ("billing", "0003_seen_by_support"),
        ("tenancy", "0007_support_functions"),
    ]

    operations = [migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS)]
