from django.db import migrations

# As in 0002_support_lookups, but by the expressions under which addresses and Stripe's ids are unique.
SEARCH = """
CREATE OR REPLACE FUNCTION tenancy.search_organizations(query text, skip integer) RETURNS TABLE (
    id uuid, slug text, name text, plan text, access text, support_allowed boolean, member text
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenancy.write_support_audit('search', NULL, '', query, jsonb_build_object('skip', skip));
    -- Who has switched support off is found, but neither by its people nor with them.
    SELECT o.id, o.slug::text, o.name::text, o.plan::text, o.access::text, o.support_allowed, (
        SELECT min(u.email::text) FROM public.accounts_user u
        WHERE u.organization_id = o.id AND o.support_allowed AND starts_with({email}, lower(btrim(query)))
    )
    FROM public.tenancy_organization o
    WHERE o.id <> '00000000-0000-0000-0000-000000000001' AND length(btrim(query)) >= 3 AND (
        o.id::text = lower(btrim(query))
        OR starts_with(o.slug, lower(btrim(query)))
        OR strpos(lower(o.name), lower(btrim(query))) > 0
        OR o.support_allowed AND o.id IN (
            SELECT u.organization_id FROM public.accounts_user u WHERE starts_with({email}, lower(btrim(query)))
        )
        OR o.id IN (SELECT organization_id FROM public.billing_customer WHERE {stripe_id})
        OR o.id IN (SELECT organization_id FROM public.billing_subscription WHERE {stripe_id})
    )
    ORDER BY o.name, o.id LIMIT 50 OFFSET greatest(skip, 0)
$$;
"""
BY_EXPRESSION = {"email": "lower(u.email)", "stripe_id": "reverse(stripe_id) = reverse(btrim(query))"}
BY_COLUMN = {"email": "u.email_key", "stripe_id": "stripe_id = btrim(query)"}


class Migration(migrations.Migration):
    dependencies = [
        ("support", "0003_looks"),
        ("accounts", "0006_unique_by_lower"),
        ("billing", "0004_unique_by_reverse"),
    ]

    operations = [migrations.RunSQL(SEARCH.format(**BY_EXPRESSION), SEARCH.format(**BY_COLUMN))]
