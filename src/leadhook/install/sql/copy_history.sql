
-- Added to the copy for the Supabase CLI, so that `leadhook webhooks install` and /ready know which files were applied.
do $$
begin
  if to_regclass('leadhook.migrations') is not null then
    insert into leadhook.migrations (name, sha256) values
    :entries
    on conflict (name) do update set sha256 = excluded.sha256 where migrations.sha256 <> excluded.sha256;
  end if;
end
$$;
