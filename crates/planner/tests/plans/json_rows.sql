CREATE TABLE tops (j TEXT, t TIMESTAMP NOT NULL, WATERMARK FOR t) WITH (connector = 'kafka', topic = 'tops', type = 'source');
CREATE VIEW rows AS SELECT unnest(extract_json(j, '$.top[*]')) AS r, t FROM tops;
SELECT json_get_int(r, 'rank') AS rank, json_get_str(r, 'item') AS item, t FROM rows WHERE json_get_int(r, 'rank') < 3;
