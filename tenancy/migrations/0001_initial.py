from django.db import migrations

SCHEMA = """
CREATE SCHEMA tenancy;
GRANT USAGE ON SCHEMA tenancy TO saas_app, saas_worker, saas_support, saas_lookup;

-- Padded keys of RFC 2104: core sha256() is all that HMAC needs. No role but the owner reads them.
CREATE TABLE tenancy.context_key (
    id text PRIMARY KEY,
    inner_pad bytea NOT NULL CHECK (length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (length(outer_pad) = 64)
);

CREATE FUNCTION tenancy.current_org() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    organization text := nullif(current_setting('app.current_org_id', true), '');
    proof text := current_setting('app.current_org_proof', true);
    expires text := split_part(proof, ':', 1);
    signature text := split_part(proof, ':', 3);
    expected text;
BEGIN
    IF organization IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT encode(sha256(outer_pad || sha256(inner_pad || convert_to(organization || ':' || expires, 'UTF8'))), 'hex')
        INTO expected FROM tenancy.context_key WHERE id = split_part(proof, ':', 2);
    -- Hashed once more, so that the comparison's time tells nothing of the signature.
    IF expected IS NULL OR sha256(convert_to(expected, 'UTF8')) <> sha256(convert_to(signature, 'UTF8')) THEN
        RAISE EXCEPTION 'organization context refused: bad signature' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_timestamp(expires::bigint) < clock_timestamp() THEN
        RAISE EXCEPTION 'organization context refused: expired' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN organization::uuid;
END
$$;
REVOKE ALL ON FUNCTION tenancy.current_org() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.current_org() TO saas_app;
"""

class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunSQL(SCHEMA, "DROP SCHEMA tenancy CASCADE"),
    ]
