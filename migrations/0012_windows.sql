-- Whether a new commit takes a run back is asked of the runs whose window is open, whatever their runbook.
create index trials_in_window on trials (repository, closes_at);
