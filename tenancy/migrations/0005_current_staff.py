from django.db import migrations

# As tenancy.current_org(), with a word before what is signed: neither proof passes for the other.
CURRENT_STAFF = """
CREATE FUNCTION tenancy.current_staff() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The staff member's id, a space and their address.
    staff text := nullif(current_setting('app.current_staff', true), '');
    proof text := current_setting('app.current_staff_proof', true);
    expires text := split_part(proof, ':', 1);
    signature text := split_part(proof, ':', 3);
    expected text;
BEGIN
    IF staff IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT encode(sha256(outer_pad || sha256(inner_pad || convert_to('staff:' || staff || ':' || expires, 'UTF8'))), 'hex')
        INTO expected FROM tenancy.context_key WHERE id = split_part(proof, ':', 2);
    IF expected IS NULL OR sha256(convert_to(expected, 'UTF8')) <> sha256(convert_to(signature, 'UTF8')) THEN
        RAISE EXCEPTION 'staff context refused: bad signature' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF to_timestamp(expires::bigint) < clock_timestamp() THEN
        RAISE EXCEPTION 'staff context refused: expired' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN split_part(staff, ' ', 1)::uuid;
END
$$;
REVOKE ALL ON FUNCTION tenancy.current_staff() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.current_staff() TO saas_support;
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0004_mail")]

    operations = [
        migrations.RunSQL(CURRENT_STAFF, "DROP FUNCTION tenancy.current_staff()"),
    ]
