-- One slice of the sweep.
select public.leadhook_sweep('leadhook install', 250) as reply
