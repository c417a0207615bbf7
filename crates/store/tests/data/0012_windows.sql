-- The index is made over the trials of earlier samples: nothing is added.
select 1;
