namespace ClusterRnn.Data;
