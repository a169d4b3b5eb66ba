"""What injected SQL could try. `{globex}`, `{charlie}` and `{session}` are ids of the other organization."""

# Refused, or answered with nothing of Globex.
READING = {
    "every table": "SELECT * FROM accounts_user; SELECT * FROM "
    "accounts_session; SELECT * FROM tenancy_organization",
    "by its id": "SELECT email FROM accounts_user WHERE organization_id = '{globex}'",
    "all but mine": "SELECT * FROM accounts_user WHERE organization_id <> tenancy.current_org()",
    "a setting that changes from row to row": "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; "
    "SELECT set_config('my.org', current_setting('app.current_org_id'), true); SELECT email FROM accounts_user WHERE "
    "organization_id = current_setting('my.org')::uuid AND set_config('my.org', '{globex}', true) IS NOT NULL",
    "a cast that tells in its error": "SELECT email::int FROM accounts_user",
    "a division that tells by failing": "SELECT 1 / (email NOT LIKE 'charlie%')::int FROM accounts_user",
    "an index's own order": "SET LOCAL enable_seqscan = off; SELECT email_key "
    "FROM accounts_user ORDER BY email_key",
    "as XML": "SELECT query_to_xml('SELECT * FROM accounts_user', true, true, '')",
    "the schema as XML": "SELECT schema_to_xml('public', true, true, '')",
    "through text search": "SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM accounts_user')",
    "a cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM accounts_user; FETCH ALL c; CLOSE c",
    "a copy to the client": "COPY accounts_user TO STDOUT",
    "a copy to a program": "COPY accounts_user TO PROGRAM 'cat'",
    "a copy to a file": "COPY accounts_user TO '/tmp/copied'",
    "statistics": "SELECT * FROM pg_stats WHERE schemaname = 'public'",
    "raw statistics": "SELECT * FROM pg_statistic",
    # Of this database, here and below: tests of another one may run beside these, as the same role.
    "what others run": "SELECT * FROM pg_stat_activity WHERE datname = current_database()",
    "prepared statements": "SELECT * FROM pg_prepared_statements",
    "locks": "SELECT * FROM pg_locks",
    "the queue": "SELECT * FROM procrastinate_jobs",
    "the support's log": "SELECT * FROM tenancy_supportaudit",
    "after a commit": "COMMIT; SELECT * FROM accounts_user; BEGIN",
    "in a transaction of its own": "COMMIT; BEGIN; SELECT * FROM accounts_user",
    "after a rollback": "ROLLBACK; SELECT * FROM accounts_user; BEGIN",
    "the server's files": "SELECT pg_read_file('PG_VERSION')",
    "the server's folders": "SELECT pg_ls_dir('.')",
    "a file as a large object": "SELECT lo_import('/etc/passwd')",
    "a file as a table": "CREATE TEMP TABLE f (line text); COPY f FROM '/etc/passwd'",
    "passwords of roles": "SELECT rolname, rolpassword FROM pg_authid",
    "who may connect": "SELECT * FROM pg_hba_file_rules",
    "the key": "SELECT * FROM tenancy.context_key",
    "the key, locked": "SELECT inner_pad FROM tenancy.context_key FOR UPDATE",
    "the key's statistics": "SELECT * FROM pg_stats WHERE tablename = 'context_key'",
    "another database": "CREATE EXTENSION dblink",
    "another server": "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
    "notifications": "LISTEN procrastinate_any_queue; NOTIFY x; UNLISTEN *",
}
CONTEXT = {
    "another id": "SELECT set_config('app.current_org_id', '{globex}', true); SELECT * FROM accounts_user",
    "another id for the session": "SET SESSION app.current_org_id = '{globex}'; SELECT * FROM accounts_user",
    "no proof": "SET LOCAL app.current_org_id = '{globex}'; SET LOCAL "
    "app.current_org_proof = ''; SELECT * FROM accounts_user",
    "my proof with another id": "SELECT set_config('app.current_org_id', '{globex}', true), set_config("
    "'app.current_org_proof', current_setting('app.current_org_proof'), true); SELECT * FROM accounts_user",
    "another id in capitals": "SELECT set_config('app.current_org_id', "
    "upper('{globex}'), true); SELECT * FROM accounts_user",
    "two ids": "SELECT set_config('app.current_org_id', current_setting('app.current_org_id') || ',{globex}', true); "
    "SELECT * FROM accounts_user",
    "an expiry that goes on": "SELECT set_config('app.current_org_proof', regexp_replace(current_setting("
    "'app.current_org_proof'), '^[0-9]+', '9999999999'), true); SELECT * FROM accounts_user",
    "a function of my own": "CREATE OR REPLACE FUNCTION tenancy.current_org() RETURNS uuid "
    "LANGUAGE sql AS $$ SELECT '{globex}'::uuid $$",
    "a function before it": "CREATE FUNCTION pg_temp.current_org() RETURNS uuid "
    "LANGUAGE sql AS $$ SELECT '{globex}'::uuid $$",
    "a schema before it": "CREATE SCHEMA mine; SET search_path = mine, public",
    "the fence off": "SET LOCAL row_security = off; SELECT * FROM accounts_user",
    "triggers and keys off": "SET LOCAL session_replication_role = replica",
    **{
        f"the role {role}": f"SET ROLE {role}; SELECT * FROM accounts_user"
        for role in (
            "saas_owner",
            "saas_worker",
            "saas_support",
            "saas_lookup",
            "postgres",
            "pg_read_all_data",
        )
    },
    "the session's role": "SET SESSION AUTHORIZATION saas_owner",
    "no role": "RESET ROLE; RESET SESSION AUTHORIZATION; SELECT * FROM accounts_user",
    "everything as it was": "RESET ALL; SELECT * FROM accounts_user",
    "a membership": "GRANT saas_owner TO saas_app",
    "a role that may": "ALTER ROLE saas_app BYPASSRLS",
    "a new role": "CREATE ROLE mallory SUPERUSER",
    "a wider function": "SELECT tenancy.organization_ids(NULL, 100)",
    "staff's functions": "SELECT * FROM tenancy.search_organizations('Globex', NULL)",
    "staff's access": "SELECT tenancy.open_support_access('{globex}', 'because')",
    "the look's": "SELECT tenancy.begin_look('{globex}', '{charlie}', 'because')",
    "the removal's": "SELECT tenancy.finish_organization_removal('{globex}', '{{}}')",
    "a row count": "SELECT * FROM tenancy.rows_of_organization('{globex}')",
}
WRITING = {
    "all rows": "UPDATE accounts_user SET name = 'planted'; DELETE FROM "
    "accounts_session WHERE user_id = '{charlie}'",
    "its rows": "UPDATE accounts_user SET name = 'planted' WHERE organization_id = '{globex}'",
    "no condition": "DELETE FROM accounts_invitation; DELETE FROM tenancy_mail",
    "a gift": "UPDATE accounts_session SET organization_id = '{globex}'",
    "a new row": "INSERT INTO accounts_session (id, organization_id, user_id) "
    "VALUES (gen_random_uuid(), '{globex}', '{charlie}')",
    "a conflict": "INSERT INTO tenancy_organization SELECT * FROM tenancy_organization "
    "ON CONFLICT (slug) DO UPDATE SET id = '{globex}'",
    "a conflict of an expression": "INSERT INTO tenancy_organization SELECT * FROM tenancy_organization "
    "ON CONFLICT (reverse(slug)) DO UPDATE SET id = '{globex}'",
    "a setting that changes from row to row": "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; "
    "SELECT set_config('my.org', current_setting('app.current_org_id'), true); DELETE FROM accounts_session WHERE "
    "organization_id = current_setting('my.org')::uuid AND set_config('my.org', '{globex}', true) IS NOT NULL",
    "a merge": "MERGE INTO accounts_user u USING (SELECT 1) x ON u.id = "
    "'{charlie}' WHEN MATCHED THEN UPDATE SET name = 'planted'",
    "a reference": "UPDATE accounts_session SET user_id = '{charlie}'; SET CONSTRAINTS ALL IMMEDIATE",
    "nothing left": "TRUNCATE accounts_session",
    "nothing left at all": "TRUNCATE accounts_user, tenancy_organization CASCADE",
    "a table less": "DROP TABLE accounts_session CASCADE",
    "a fence less": "ALTER TABLE accounts_user DISABLE ROW LEVEL SECURITY",
    "a policy more": "CREATE POLICY all_of_it ON accounts_user USING (true)",
    "another policy": "ALTER POLICY accounts_user_fence ON accounts_user USING (true)",
    "a trigger": "CREATE TRIGGER t BEFORE UPDATE ON accounts_user FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a rule": "CREATE RULE r AS ON SELECT TO accounts_user DO ALSO SELECT 1",
    "a view": "CREATE VIEW everybody AS SELECT * FROM accounts_user",
    "a grant": "GRANT SELECT ON accounts_user TO PUBLIC WITH GRANT OPTION",
    "rights for what comes": "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC",
    "a temporary table": "CREATE TEMP TABLE accounts_user (id uuid)",
    "a function": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a block": "DO $$ BEGIN EXECUTE 'ALTER TABLE accounts_user DISABLE ROW LEVEL SECURITY'; END $$",
    "an owner": "ALTER TABLE accounts_user OWNER TO saas_app",
    "the owner's things": "REASSIGN OWNED BY saas_owner TO saas_app",
    "another role's things": "DROP OWNED BY saas_worker",
    "a publication": "CREATE PUBLICATION p FOR ALL TABLES",
    "a large object": "SELECT lo_from_bytea(0, 'x')",
    "somebody's job": "INSERT INTO procrastinate_jobs (task_name) VALUES ('send_mail')",
    "a job of the queue's own": "SELECT procrastinate_defer_jobs_v1(NULL)",
    "a job of the platform's": "SELECT tenancy.defer_job('default', "
    "'procrastinate.builtin_tasks.remove_old_jobs', 0, NULL, NULL, '{{}}', NULL)",
    "another's session ended": "SELECT pg_terminate_backend(pid) FROM "
    "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    "another's statement ended": "SELECT pg_cancel_backend(pid) FROM "
    "pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    "the server's settings": "ALTER SYSTEM SET log_statement = 'all'",
    "its reload": "SELECT pg_reload_conf()",
    "the database's settings": "ALTER DATABASE CURRENT SET row_security = off",
    "a prepared transaction": "PREPARE TRANSACTION 'x'",
}
# Settings and things that stay on the connection after the request.
LEFT_BEHIND = {
    "a context": "SELECT set_config('app.current_org_id', current_setting('app.current_org_id'), false), "
    "set_config('app.current_org_proof', current_setting('app.current_org_proof'), false)",
    "a search path": "SET SESSION search_path = pg_catalog",
    "no fence": "SET SESSION row_security = off",
    "reads alone": "SET SESSION default_transaction_read_only = on",
    "an encoding": "SET SESSION client_encoding = 'LATIN1'",
    "a time zone": "SET SESSION timezone = 'Pacific/Kiritimati'",
    "no timeouts": "SET SESSION statement_timeout = 0; SET SESSION lock_timeout = 0",
    "no wait for the disk": "SET SESSION synchronous_commit = off",
    "another isolation": "SET SESSION default_transaction_isolation = 'repeatable read'",
    "other dates": "SET SESSION datestyle = 'German'; SET SESSION intervalstyle = 'sql_standard'",
    "another null": "SET SESSION transform_null_equals = on",
    "plans in the log": "SET SESSION debug_print_plan = on",
    "no statements": "DEALLOCATE ALL",
    "a cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM accounts_user",
    "a lock": "SELECT pg_advisory_lock(7)",
    "an ear": "LISTEN x",
    "an open transaction": "COMMIT; BEGIN",
    "no transaction": "COMMIT",
    "half a copy": "COPY accounts_user TO STDOUT",
    "half a copy in": "COPY (SELECT 1) TO STDOUT; SELECT 1",
    "many answers": "SELECT 1; SELECT email FROM accounts_user; SELECT 2",
}
