-- What a store holds after checks are kept: a revision with what was said of it, beside older ones without.

update contents set checks = '{"findings":[{"rule":"rego.warn","path":"apps/web/values.yaml","line":1,"effect":"remark","message":"data.main.warn: few replicas","hint":"a person decides whether it matters here"}],"more":0,"checks":[{"name":"files","label":"files","result":"passed","words":"1 file"}],"summary":null,"checklist":[]}'
    where proposal = 'prp_01900000000070008000000000000001' and number = 2;
